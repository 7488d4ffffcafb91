package verify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// sight is what the rows' snapshot sees.
type sight struct {
	xmin, xmax uint64   // of pg_current_snapshot()
	running    []uint64 // between the two
	// before and until are positions of the write-ahead log, read before and after
	// the snapshot was taken. A commit record at or behind until is not seen.
	before, until uint64
}

// parseSight reads pg_current_snapshot().
func parseSight(text string) (s sight, err error) {
	var list string
	if _, err := fmt.Sscanf(strings.ReplaceAll(text, ":", " "), "%d %d", &s.xmin, &s.xmax); err != nil {
		return s, fmt.Errorf("read the snapshot %q: %w", text, err)
	}
	list = text[strings.LastIndexByte(text, ':')+1:]
	for part := range strings.SplitSeq(list, ",") {
		if list == "" {
			break
		}
		x, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return s, fmt.Errorf("read the snapshot %q: %w", text, err)
		}
		s.running = append(s.running, x)
	}
	return s, nil
}

// chain widens the 32 bits of a transaction's id that a log tells: each id is near
// that of a transaction before it in the log, and the first near the snapshot of the
// log's first rows, whose ids have 64. So a log may be longer than the 2³¹ transactions
// that Postgres tells apart.
type chain struct{ newest uint64 }

// sees reports whether the rows have what a transaction did.
func (s *sight) sees(commit uint64, short uint32, ids *chain) bool {
	if commit >= s.before {
		// It was running a moment before the snapshot, so it is near that. This also
		// holds for a shape that had no change for longer than the chain can bridge.
		ids.newest = max(ids.newest, near(s.xmax, short))
	}
	id := near(ids.newest, short)
	ids.newest = max(ids.newest, id)
	return commit < s.until && (id < s.xmin || id < s.xmax && !slices.Contains(s.running, id))
}

// near is the number with these lower 32 bits that is nearest to another.
func near(to uint64, short uint32) uint64 {
	return uint64(int64(to) + int64(int32(short-uint32(to))))
}

// lsn prints a position as Postgres does.
func lsn(at uint64) string { return fmt.Sprintf("%X/%X", at>>32, uint32(at)) }

// parseLSN reads one.
func parseLSN(text string) (uint64, error) {
	var high, low uint64
	if _, err := fmt.Sscanf(text, "%X/%X", &high, &low); err != nil {
		return 0, fmt.Errorf("read the position %q: %w", text, err)
	}
	return high<<32 | low, nil
}
