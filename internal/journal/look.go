package journal

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/wal"
)

// Sight is what Look saw.
type Sight struct {
	Segments []Segment // oldest first
	// Damage is what a crash cannot explain, in the order of the files. What lies
	// behind the first one cannot be trusted: Open refuses such a journal.
	Damage []*CorruptError
}

// Segment is what one file holds.
type Segment struct {
	Sequence uint64
	Path     string
	// From is the highest position of all frames before it, To that behind its last one.
	From, To wal.LSN
	Frames   int
	Bytes    int64 // that count
	Torn     int64 // behind them, left unfinished by a crash
	Open     bool  // a transaction is open at its end
	Sealed   bool  // the journal was closed in order
}

// Look reads a journal that nobody writes as Open does, and changes nothing. Errors
// are those of the disk; damage is part of what was seen.
func Look(fs vfs.FS, dir string) (Sight, error) {
	var s Sight
	j := &Journal{opts: Options{FS: fs, Dir: dir}}
	j.opts.defaults()
	// damaged keeps what is damage, and returns what is not.
	damaged := func(err error) error {
		var c *CorruptError
		if errors.As(err, &c) {
			s.Damage = append(s.Damage, c)
			return nil
		}
		return err
	}
	sequences, err := j.list()
	if err := damaged(err); err != nil {
		return s, err
	}
	var all []*found
	for i, seq := range sequences {
		f, err := j.examine(seq, i == len(sequences)-1)
		if err := damaged(err); err != nil {
			return s, err
		}
		if f != nil {
			all = append(all, f)
		}
	}
	for i, f := range all {
		limit := f.seg.size
		last := i == len(all)-1
		if !last && all[i+1].seg.sequence == f.seg.sequence+1 {
			limit = all[i+1].header.previous
		}
		if err := damaged(j.adopt(f, limit, last)); err != nil {
			return s, err
		}
		rest := f.seg.size - f.seg.end
		if f.seg.sealed {
			rest -= frameLen // the seal, which is empty
		}
		s.Segments = append(s.Segments, Segment{
			Sequence: f.seg.sequence, Path: f.seg.path, From: f.seg.pos, To: j.tail.pos, Frames: f.seg.frames,
			Bytes: f.seg.end, Torn: rest, Open: j.tail.open, Sealed: f.seg.sealed,
		})
	}
	return s, nil
}
