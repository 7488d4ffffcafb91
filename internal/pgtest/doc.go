// Package pgtest gives tests a real Postgres. It is for tests only.
//
//	func TestX(t *testing.T) {
//		db := pgtest.New(t)
//		db.Exec("create table t (id int primary key)")
//		… db.URL …
//	}
//
// It owns one server per test binary, started when the first test asks, and one
// database per test. A package may say func TestMain(m *testing.M) {
// pgtest.Main(m) } to have the server stopped in good order; without it the
// server is stopped and removed as soon as the binary has ended.
//
// It never skips a test: without Postgres the test fails and says how to get it.
//
// Invariants:
//
//  1. A test leaves nothing behind: its database is dropped with its slots,
//     prepared transactions and sessions.
//  2. Nothing but PATH and environment is shared between test binaries: own
//     server, own port, own directory.
//
// Files: pgtest.go databases and servers · query.go statements.
package pgtest
