package registry

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/spillway-sync/spillway/internal/shape"
)

// appendHandle names a shape "<id>-<created>-<random>": the ID in base 36, the time
// in µs since 1970, 4 random bytes in hexadecimal. The ID makes it unique in
// this data directory and leads back to the shape without a map of handles;
// time and chance make it unique after the directory was wiped, also when the
// clock went back.
func appendHandle(b []byte, id shape.ID, created int64, random uint32) []byte {
	b = strconv.AppendUint(b, uint64(id), 36)
	b = append(b, '-')
	b = strconv.AppendInt(b, created, 10)
	b = append(b, '-')
	var four [4]byte
	binary.BigEndian.PutUint32(four[:], random)
	return hex.AppendEncode(b, four[:])
}

func newRandom() uint32 {
	var random [4]byte
	// Read never fails: it ends the process when the machine has no randomness.
	_, _ = rand.Read(random[:])
	return binary.BigEndian.Uint32(random[:])
}

// handleRoom is enough for every handle that appendHandle makes.
const handleRoom = 48

// Handle is the shape's name for clients, made anew at each call: a million strings are
// as many objects more for the garbage collector.
func (s *Shape) Handle() shape.Handle {
	if s.odd != nil {
		return *s.odd
	}
	var room [handleRoom]byte
	return shape.Handle(appendHandle(room[:0], s.id, s.created, s.random))
}

// Named says whether a handle is the shape's. It allocates nothing.
func (s *Shape) Named(h shape.Handle) bool {
	if s.odd != nil {
		return *s.odd == h
	}
	var room [handleRoom]byte
	return string(appendHandle(room[:0], s.id, s.created, s.random)) == string(h)
}

// setHandle names a shape that has its ID and its time as the catalogue does.
func (s *Shape) setHandle(h shape.Handle) {
	if n := len(h) - 8; n > 0 {
		random, _ := strconv.ParseUint(string(h[n:]), 16, 32)
		s.random = uint32(random)
	}
	if !s.Named(h) {
		own := h
		s.odd = &own
	}
}

// handleID reads the ID that a handle claims to belong to.
func handleID(h shape.Handle) (shape.ID, bool) {
	text, _, ok := strings.Cut(string(h), "-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 36, 64)
	return shape.ID(n), err == nil
}
