package engine

import (
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/pgrepl"
)

// Shapes may be live before the journal has anything. After a crash then the slot stands
// where the journal was to begin, and nothing is lost; further on it is.
func TestCrashBeforeTheJournalHasAnything(t *testing.T) {
	t.Parallel()
	h := newHousehold(t)
	info := pgrepl.Info{SystemID: "7", Timeline: 1, XLogPos: 1000}
	at := func(s pgrepl.SlotState, want string) {
		t.Helper()
		if why := h.e.discontinuity(info, s); !strings.Contains(why, want) || (why == "") != (want == "") {
			t.Errorf("confirmed up to %s: %q, want %q", s.ConfirmedFlush, why, want)
		}
	}
	at(pgrepl.SlotState{ConfirmedFlush: 100}, "") // nothing is there that could be lost
	if err := h.e.noteIdentity(info); err != nil {
		t.Fatal(err)
	}
	h.begun()
	at(pgrepl.SlotState{ConfirmedFlush: 100}, "beyond the journal's end")
	if err := h.e.noteStart(100); err != nil {
		t.Fatal(err)
	}
	at(pgrepl.SlotState{ConfirmedFlush: 100}, "")
	at(pgrepl.SlotState{ConfirmedFlush: 101}, "beyond the journal's end")
}
