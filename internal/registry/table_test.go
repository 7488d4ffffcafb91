package registry

import (
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
)

func (h *house) versions(t *testing.T) (inMemory, stored int) {
	t.Helper()
	check(t, h.scanNumbers(kindTable, func(uint64, []byte) error {
		stored++
		return nil
	}))
	return len(h.tables.byRecord), stored
}

// A table that is emptied again and again has a version for each time. Those that no
// shape has any more are not kept.
func TestVersionsOfTablesGo(t *testing.T) {
	h := open(t, vfs.NewMem())
	old := create(t, h, where(t, "crew > 3"), 5)
	live(t, h, old, 0)
	for n := range 20 {
		def := where(t, "crew > 4")
		def.Table.Files = int64(n + 1)
		one, two := create(t, h, def, 5), (*Shape)(nil)
		if n%2 == 0 { // several shapes have it
			other := where(t, "crew > 5")
			other.Table.Files = def.Table.Files
			two = create(t, h, other, 5)
		}
		check(t, h.Remove(one, shape.ReasonTruncate))
		if two != nil {
			if inMemory, stored := h.versions(t); inMemory != 2 || stored != 2 {
				t.Fatalf("%d versions in memory, %d stored, while two are used", inMemory, stored)
			}
			check(t, h.Remove(two, shape.ReasonTruncate))
		}
	}
	if inMemory, stored := h.versions(t); inMemory != 1 || stored != 1 {
		t.Errorf("%d versions in memory, %d stored; one is used", inMemory, stored)
	}
	h = h.reopen(t)
	if inMemory, stored := h.versions(t); inMemory != 1 || stored != 1 {
		t.Errorf("%d versions in memory, %d stored after a start", inMemory, stored)
	}
	old = h.ByHandle(old.Handle())
	again := create(t, h, where(t, "crew > 6"), 5)
	if again.Def().Table != old.Def().Table {
		t.Error("shapes do not share the version of their table")
	}
	// A successor has its predecessor's.
	check(t, h.Quarantine(old, shape.ReasonStalled, "", false, later))
	heir, err := h.Successor(old, 9)
	check(t, err)
	live(t, h, heir, 0)
	check(t, h.Promote(heir))
	check(t, h.Remove(again, shape.ReasonDeleted))
	if inMemory, stored := h.versions(t); inMemory != 1 || stored != 1 {
		t.Errorf("%d versions in memory, %d stored; the successor's is used", inMemory, stored)
	}
	check(t, h.Remove(heir, shape.ReasonDeleted))
	h = h.reopen(t)
	defer h.close(t)
	if inMemory, stored := h.versions(t); inMemory != 0 || stored != 0 {
		t.Errorf("%d versions in memory, %d stored; none is used", inMemory, stored)
	}
}

// The tables that are to be looked at, and the newest shape of each that was live.
func TestTablesInUse(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer func() { h.close(t) }()
	want := func(what string, newest ...shape.ID) {
		t.Helper()
		var is []shape.ID
		for _, u := range h.Tables() {
			if u.Table.Name != "boats" {
				t.Errorf("%s: table %s", what, u.Table.Name)
			}
			is = append(is, u.Live)
		}
		if slices.Sort(is); !slices.Equal(is, newest) {
			t.Errorf("%s: newest live shapes %v, want %v", what, is, newest)
		}
	}
	want("no shapes")
	one := create(t, h, where(t, "crew > 1"), 5)
	want("a shape without first rows", 0)
	live(t, h, one, 0)
	want("it is live", 1)
	two, three := create(t, h, where(t, "crew > 2"), 5), create(t, h, where(t, "crew > 3"), 5)
	live(t, h, three, 0)
	live(t, h, two, 0)
	want("three are live", 3)
	later := where(t, "crew > 4")
	later.Table.Files++
	four := create(t, h, later, 5)
	live(t, h, four, 0)
	want("another version", 3, 4)
	h = h.reopen(t)
	want("after a start", 3, 4)
	check(t, h.Remove(h.ByHandle(four.Handle()), shape.ReasonDeleted))
	want("its only shape is removed", 3)
	for s := range h.All() {
		check(t, h.Remove(s, shape.ReasonDeleted))
	}
	want("all are")
}

// Up to a number all shapes are there that ever will be: one that was given its number
// earlier can be stored later.
func TestSettled(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer func() { h.close(t) }()
	want := func(what string, is shape.ID) {
		t.Helper()
		if got := h.Settled(); got != is {
			t.Errorf("%s: settled up to %d, want %d", what, got, is)
		}
	}
	want("no shapes", 0)
	old := create(t, h, where(t, "crew > 1"), 5)
	live(t, h, old, 0)
	want("a shape", 1)
	h.mu.Lock()
	def := where(t, "crew > 2")
	coming := h.newShape(def, h.tables.use(old.def.Table, []byte("x")), 5)
	h.mu.Unlock()
	create(t, h, where(t, "crew > 3"), 5)
	want("one is being stored", coming.id-1)
	check(t, h.Quarantine(old, shape.ReasonStalled, "", false, later))
	heir, err := h.Successor(old, 9)
	check(t, err)
	want("and still", coming.id-1)
	h.mu.Lock()
	delete(h.coming, coming.id)
	h.mu.Unlock()
	want("all are stored", heir.id)
}
