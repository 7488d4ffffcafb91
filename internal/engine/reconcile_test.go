package engine

import (
	"testing"

	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/shape"
)

// A shape is compared with its table once for each form of the table, also one that
// came while that form was looked at.
func TestLooked(t *testing.T) {
	t.Parallel()
	was := pgquery.Fingerprint{Schema: "public", Name: "t", Columns: 1, Full: true, Published: true}
	is := was
	is.Columns = 2
	l := looked{was, 7, nil}
	for what, got := range map[string]bool{
		"a table that was never seen": looked{}.due(was, 1),
		"another table":               l.due(is, 7),
		"a shape that came after it":  l.due(was, 8),
	} {
		if !got {
			t.Errorf("%s is not looked at", what)
		}
	}
	if l.due(was, 7) {
		t.Error("the same is looked at again")
	}
}

// With no table changed only the shapes that came since are looked at; with one, all.
func TestExamined(t *testing.T) {
	t.Parallel()
	a, b := pgquery.Fingerprint{Name: "a"}, pgquery.Fingerprint{Name: "b"}
	watched := map[uint32]shape.ID{1: 5, 2: 6}
	now := map[uint32]pgquery.Fingerprint{1: a, 2: b}
	for _, c := range []struct {
		what string
		now  map[uint32]pgquery.Fingerprint
		seen map[uint32]looked
		want shape.ID
	}{
		{"nothing is new", now, map[uint32]looked{1: {a, 9, nil}, 2: {b, 9, nil}}, 9},
		{"one was looked at later", now, map[uint32]looked{1: {a, 9, nil}, 2: {b, 7, nil}}, 7},
		{"one was looked at when there were more", now, map[uint32]looked{1: {a, 99, nil}, 2: {b, 98, nil}}, 20},
		{"one was never in order", now, map[uint32]looked{1: {a, 9, nil}}, 0},
		{"one has changed", now, map[uint32]looked{1: {a, 9, nil}, 2: {a, 9, nil}}, 0},
		{"one is gone", map[uint32]pgquery.Fingerprint{1: a}, map[uint32]looked{1: {a, 9, nil}, 2: {b, 9, nil}}, 0},
	} {
		if got := examined(watched, c.now, c.seen, 20); got != c.want {
			t.Errorf("%s: examined up to %d, want %d", c.what, got, c.want)
		}
	}
}
