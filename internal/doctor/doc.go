// Package doctor looks whether a service would run well where it is to run: its
// settings, the machine, the server, its role, slot, publication and tables. It is
// what spillway doctor prints, and the script for a database administrator.
//
// It owns nothing and changes nothing: no slot, no publication, no file. It asks
// Postgres the questions that the service asks (pgquery, pgrepl), so that it cannot
// be of another opinion, and some more that only people care for, in READ ONLY
// transactions.
//
// Invariants:
//
//  1. Every check has a code which does not change, and says what was found also
//     when that is right.
//  2. What is no fault for the service is no failure here: what it mends by itself
//     is a warning at the most.
//  3. What could not be looked at is said to be so, never passed over.
//  4. A password never appears.
//
// Files: examine.go what is looked at when · report.go findings · text.go for people ·
// host.go settings and machine · connect.go reaching the server · server.go its
// settings · slot.go · tables.go publication and tables · hold.go transactions that
// hold a slot back · script.go what an administrator runs.
package doctor
