package route

import (
	"slices"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// A clause that panics is one of which nothing is known; the others are as exact as ever.
func TestClauseThatPanics(t *testing.T) {
	x := New()
	x.Add(1, define(t, boats(), "owner = 7"))
	x.Add(2, define(t, boats(), "owner = 8"))
	broken := define(t, boats(), "owner = 7")
	broken.Where = new(expr.Expr) // nothing was compiled
	x.Add(3, broken)
	ch := wal.Change{Op: wal.Insert, Rel: relation(boats(), "id", "owner", "name"), New: row(1, 7, "x")}
	if got := routed(x, ch); !slices.Equal(got, []shape.ID{1, 3}) {
		t.Errorf("touched: %v", got)
	}
}

// A value that cannot even be read without a panic may be anybody's.
func TestValueThatPanics(t *testing.T) {
	x := New()
	x.Add(1, define(t, boats(), "owner = 7"))
	x.Add(2, define(t, boats(), ""))
	ch := wal.Change{Op: wal.Insert, Rel: relation(boats(), "id", "owner", "name"), New: row(1, 8, "x")}
	if got := routed(x, ch); !slices.Equal(got, []shape.ID{2}) {
		t.Errorf("touched: %v", got)
	}
	x.tables[ch.Rel.OID].columns[0] = nil
	if got := routed(x, ch); !slices.Equal(got, []shape.ID{1, 2}) {
		t.Errorf("touched after a panic: %v", got)
	}
}
