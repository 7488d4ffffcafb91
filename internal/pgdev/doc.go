// Package pgdev finds the Postgres that is installed here and runs a private
// server of it: for "spillway dev" and for tests.
//
// It owns the server's process, its data directory and its socket directory.
//
// It never talks SQL, never installs anything, and never touches a server that
// it did not start.
//
// Invariants:
//
//  1. No server outlives us: on Linux the kernel stops it when we die, elsewhere
//     (and where the directory is to be removed) a guard process does.
//  2. Postgres refuses to run as root. When we are root it runs as user
//     "postgres" or "nobody", who owns the directory.
//  3. Every wait has a deadline and watches a condition: the server's own
//     "ready" in postmaster.pid, as pg_ctl does it, or the end of the process.
//  4. Who can open a connection on 127.0.0.1 of this machine is trusted. This is
//     for development; nothing here is meant for production.
//
// Files: find.go where Postgres is · cluster.go data directories · server.go the
// process · guard.go the end of it when we die · proc_unix.go, run_linux.go, run_unix.go,
// run_other.go what differs between systems.
package pgdev
