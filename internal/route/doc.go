// Package route answers one question: which shapes may a change touch?
//
// It owns an index by table and, in it, by what WHERE clauses ask of columns
// ("anchors", package expr): a shape `owner_id = 7` is found by looking 7 up, one
// with `n BETWEEN 3 AND 5` by searching a tree of ranges, whatever the number of
// other shapes. A clause becomes terms, any of which will do (OR, IN), and each
// term one way through the index (AND): the values of a set of columns at once,
// then the elements of an array, one by one, or a part of a text (LIKE, ILIKE), then a
// range. What is found so is evaluated, unless its clause asks for values and nothing
// else. Shapes whose clause has no anchor are tried one by one.
//
// It never reads a clock, starts a goroutine, takes a lock or does I/O. One
// goroutine owns an Index; where many clauses are left to be evaluated, it asks
// its owner to run parts of them side by side (Spread).
//
// Invariants:
//
//  1. The result holds every shape for which the change means an entry, a
//     rotation or a removal: for an update those of the old row and of the new.
//     What cannot be decided (a value that cannot be read, a clause that fails or
//     panics, an old row that is not there) counts as touched: the consumer decides.
//  2. Otherwise it is exact: a shape is in it only if its clause is true of the
//     old or the new row. That is found out here and not left to the consumers, who
//     evaluate it again, so that the flush tracker owes nothing for shapes that a change
//     does not concern.
//  3. No shape twice, no allocation for a change in steady state, unless it is spread.
//  4. Removing a shape costs what it owns, never a walk over others.
//
// Files: index.go the index · table.go one table's part of it · node.go ways
// through it by values · keys.go the table of them · spans.go by ranges · slab.go where
// shapes are kept ·
// kin.go partitions and their ancestors · lookup.go the way of a change.
package route
