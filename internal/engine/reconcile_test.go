package engine

import (
	"testing"

	"github.com/spillway-sync/spillway/internal/pgquery"
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
