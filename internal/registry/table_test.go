package registry

import (
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
