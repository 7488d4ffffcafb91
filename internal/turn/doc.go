// Package turn keeps one table from taking all workers or connections: somebody may
// hold a lock on it, and whatever waits for that lock is no reason for others to wait.
//
// It owns the lines in which callers wait, one for each table that somebody is at. It
// knows nothing of what they do when it is their turn.
package turn
