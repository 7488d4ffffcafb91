// Package chaos makes faults on purpose: for tests against the real binary and
// for a game day of operators (docs/chaos.md). It exists only when the service
// is started with --chaos; otherwise nobody calls it.
//
// It owns the list of faults that are on and the places where they act: in front
// of a consumer's Apply, in front of the query of a shape's first rows, and in
// the journal's file system. A fault in a consumer ignores every context, as a
// bug would: it ends when it is lifted or when its time is over, and not sooner.
//
// It never decides how a fault is survived, knows nothing of the machinery it
// hurts, and changes no data.
//
// Invariants:
//
//  1. Without a fault that is on, everything passes as if this were not here.
//  2. A fault that ends wakes everybody that it held.
//  3. A fault of one shape acts on the shape that had the handle when the fault
//     began, and on no successor.
//
// Files: chaos.go begin, list, lift · check.go what is asked for, and how to
// mend it · apply.go faults in consumers and snapshots · disk.go faults of the
// journal's disk.
package chaos
