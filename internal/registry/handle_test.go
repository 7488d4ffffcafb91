package registry

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
)

// A handle is what the catalogue says, whatever its form; of the usual one the shape
// keeps 4 bytes.
func TestHandleForms(t *testing.T) {
	const id, created = 1234567, 1764337356123456
	for handle, usual := range map[shape.Handle]bool{
		"qglj-1764337356123456-00c0ffee":   true,
		"qglj-1764337356123456-ffffffff":   true,
		"qglj-1764337356123456-00000000":   true,
		"qglj-1764337356123456-00C0FFEE":   false,
		"QGLJ-1764337356123456-00c0ffee":   false,
		"0qglj-1764337356123456-00c0ffee":  false,
		"qglk-1764337356123456-00c0ffee":   false,
		"qglj-1764337356123457-00c0ffee":   false,
		"qglj-1764337356123456-0000c0ffee": false,
		"qglj-1764337356123456-c0ffee":     false,
		"qglj-1764337356123456-00c0ffe":    false,
		"qglj-1764337356123456-+0c0ffee":   false,
		"qglj-1764337356123456-no hexes":   false,
		"qglj-1764337356123456_00c0ffee":   false,
		"qglj-old":                         false,
		"00c0ffee":                         false,
		"":                                 false,
	} {
		s := Shape{id: id, created: created}
		s.setHandle(handle)
		if s.Handle() != handle || !s.Named(handle) {
			t.Errorf("%q became %q", handle, s.Handle())
		}
		if s.Named(handle+"0") || s.Named("qglj-1764337356123456-12345678") {
			t.Errorf("%q is known by another name", handle)
		}
		if (s.odd == nil) != usual {
			t.Errorf("%q is kept whole: %v", handle, s.odd != nil)
		}
		if n := testing.AllocsPerRun(10, func() { s.Named(handle) }); n != 0 {
			t.Errorf("comparing with %q allocates %v times", handle, n)
		}
	}
}

// A catalogue may have a handle of another form; the shape keeps it as long as it lives,
// and its tombstone has it.
func TestHandleOfAnotherForm(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer func() { h.close(t) }()
	s := create(t, h, where(t, ""), 5)
	live(t, h, s, 10)
	usual, key := s.Handle(), key(kindShape, uint64(s.ID()))
	rec, closer, err := h.db.Get(key)
	check(t, err)
	text := strings.Replace(string(rec), string(usual), "1-as-it-was", 1)
	check(t, closer.Close())
	check(t, h.db.Set(key, []byte(text), pebble.Sync))
	h = h.reopen(t)
	if s = h.ByHandle("1-as-it-was"); s == nil || s.Handle() != "1-as-it-was" || h.ByHandle(usual) != nil {
		t.Fatalf("found by its handle: %v", s != nil)
	}
	check(t, h.Remove(s, shape.ReasonDeleted))
	if tomb, ok, err := h.Tombstone("1-as-it-was"); err != nil || !ok || tomb.Handle != "1-as-it-was" {
		t.Errorf("tombstone %+v, %v, %v", tomb, ok, err)
	}
}
