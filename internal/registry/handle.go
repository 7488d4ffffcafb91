package registry

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/spillway-sync/spillway/internal/shape"
)

// newHandle names a shape "<id>-<created>-<random>": the ID in base 36, the time
// in µs since 1970, 4 random bytes in hexadecimal. The ID makes it unique in
// this data directory and leads back to the shape without a map of handles;
// time and chance make it unique after the directory was wiped, also when the
// clock went back.
func newHandle(id shape.ID, created int64) shape.Handle {
	var random [4]byte
	// Read never fails: it ends the process when the machine has no randomness.
	_, _ = rand.Read(random[:])
	b := strconv.AppendUint(make([]byte, 0, 40), uint64(id), 36)
	b = append(b, '-')
	b = strconv.AppendInt(b, created, 10)
	b = append(b, '-')
	return shape.Handle(hex.AppendEncode(b, random[:]))
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
