package route

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// patterns is an index of clauses with a pattern each.
func patterns(t testing.TB, n int, format string) *Index {
	versions := []*shape.Table{boats(), boats()}
	for _, v := range versions {
		v.Columns[2].Bytewise = true
	}
	x := New()
	for k := range n {
		x.Add(shape.ID(k+1), define(t, versions[k%2], fmt.Sprintf(format, k%1000)))
	}
	return x
}

// notIndexed is a clause that cannot be looked up.
const notIndexed = "(name ILIKE '%%a%db%%') IS NOT FALSE"

func sideBySide(parts int, do func(int)) {
	var next atomic.Int32
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for p := int(next.Add(1)) - 1; p < parts; p = int(next.Add(1)) - 1 {
				do(p)
			}
		})
	}
	all.Wait()
}

// What is found does not depend on whether it is tried side by side.
func TestSpread(t *testing.T) {
	x := patterns(t, 3_001, notIndexed)
	rel := relation(boats(), "id", "owner", "name")
	changes := []wal.Change{
		{Op: wal.Insert, Rel: rel, New: row(1, 7, "xA17Bx A18B")},
		{Op: wal.Update, Rel: rel, Old: row(1, 7, "a999b"), New: row(1, 7, "a0b")},
		{Op: wal.Delete, Rel: rel, Old: row(1, 7, nil)},
	}
	for i, ch := range changes {
		x.SetSpread(nil)
		want := routed(x, ch)
		spread := 0
		x.SetSpread(func(parts int, do func(int)) { spread = parts; sideBySide(parts, do) })
		if got := routed(x, ch); !slices.Equal(got, want) {
			t.Errorf("side by side %d are found, one by one %d", len(got), len(want))
		}
		if spread != 12 {
			t.Errorf("it was spread over %d parts", spread)
		}
		if n := []int{6, 7, 3_001}[i]; len(want) != n {
			t.Errorf("%d shapes found, want %d", len(want), n)
		}
	}
}

func BenchmarkRoutePatterns(b *testing.B) {
	for _, c := range []struct {
		name, where string
		Spread
	}{
		{"indexed", "name ILIKE '%%a%db%%'", nil},
		{"alone", notIndexed, nil},
		{"spread", notIndexed, sideBySide},
	} {
		b.Run(c.name, func(b *testing.B) {
			x := patterns(b, 10_000, c.where)
			ch := wal.Change{Op: wal.Insert, Rel: relation(boats(), "id", "owner", "name"), New: row(1, 7, "the ship a17b of the line")}
			x.SetSpread(c.Spread)
			var ids []shape.ID
			for b.Loop() {
				ids = x.Route(&ch, ids[:0])
			}
			if len(ids) != 10 {
				b.Fatal(len(ids))
			}
		})
	}
}
