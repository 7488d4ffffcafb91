package engine

import (
	"testing"

	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/pgrepl"
	"github.com/spillway-sync/spillway/internal/wal"
)

// A slot that has just been made is ahead of a journal that has nothing yet.
func TestNewSlotIsNoFault(t *testing.T) {
	t.Parallel()
	e := newHousehold(t).e
	e.session.Store(new(pgrepl.Session))
	e.from.Store(100)
	e.setActive()
	for at, fault := range map[wal.LSN]bool{100: false, 101: true} {
		if why := e.broken(&pgquery.SlotHealth{Exists: true, ConfirmedFlush: at}, true); (why != "") != fault {
			t.Errorf("confirmed up to %d: %q", at, why)
		}
	}
}
