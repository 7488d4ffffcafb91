// Package inspect reads a data directory without a service: what lies there before
// the next start makes of it what it must. It is what spillway inspect prints.
//
// It owns nothing and changes nothing. The bytes are read by the rooms that wrote
// them (journal.Look, registry.OpenCatalogue, shapelog with ReadOnly). The caller
// sees to it that no service works there (engine.LockForReading).
//
// Invariants:
//
//  1. Damage is told with file and offset, and does not keep the rest from being
//     looked at.
//  2. No row is printed unless entries are asked for.
//
// Files: inspect.go the whole directory · shape.go one shape · text.go for people.
package inspect
