package shapelog

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Read hands the entries after the one at after, up to and including upTo, to
// emit in their order, and stops behind the first that ends a chunk (atBoundary
// is then true) or when emit fails. end is the offset of the last entry
// emitted, or after. The bytes given to emit are valid during the call only.
func (l *Log) Read(id shape.ID, after, upTo wal.Offset, emit func(off wal.Offset, json []byte) error) (end wal.Offset, atBoundary bool, err error) {
	end = after
	if !after.Less(upTo) {
		return end, false, nil
	}
	var lower, upper [entryKeyLen + 1]byte
	it, err := l.db.NewIter(&pebble.IterOptions{
		LowerBound:      appendAfter(lower[:0], id, after),
		UpperBound:      appendAfter(upper[:0], id, upTo),
		PointKeyFilters: between(after.Tx, upTo.Tx),
	})
	if err != nil {
		return end, false, fmt.Errorf("read log of shape %d: %w", id, err)
	}
	defer func() {
		if cerr := it.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("read log of shape %d: %w", id, cerr))
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		off, isEntry := entryOffset(it.Key())
		v, verr := it.ValueAndErr()
		if verr != nil {
			return end, false, fmt.Errorf("read log of shape %d at %v: %w", id, off, verr)
		}
		e, good := readEntry(off, v)
		if !isEntry || !good {
			return end, false, &CorruptError{id, fmt.Sprintf("entry %x", it.Key())}
		}
		if err := emit(off, e.JSON); err != nil {
			return end, false, err
		}
		end = off
		if e.Boundary {
			return end, true, nil
		}
	}
	return end, false, nil
}

// Entries are what ReadInto found.
type Entries struct {
	// Body is what dst held, and the entries joined by commas without brackets.
	// It ends before the entry that Size passes the limit with.
	Body       []byte
	Size       int64 // of all entries and the commas between them, in bytes
	N          int   // number of entries
	End        wal.Offset
	AtBoundary bool
}

// ReadInto is Read into a buffer: it appends the entries to dst as long as they
// take limit bytes at most, and counts the others.
func (l *Log) ReadInto(dst []byte, id shape.ID, after, upTo wal.Offset, limit int) (e Entries, err error) {
	e.Body = dst
	e.End, e.AtBoundary, err = l.Read(id, after, upTo, func(_ wal.Offset, json []byte) error {
		if e.N > 0 {
			e.Size++
		}
		e.Size += int64(len(json))
		if e.Size <= int64(limit) {
			if e.N > 0 {
				e.Body = append(e.Body, ',')
			}
			e.Body = append(e.Body, json...)
		}
		e.N++
		return nil
	})
	return e, err
}

// Cursor returns the shape's cursor with the highest position, be it the tail of
// a transaction or one of SetCursor, and the highest
// epoch that wrote one of the latter, if any; ok is false if there is no cursor. The position counts and
// not the epoch: a cursor and its entries are written in one batch and entries
// are a function of the stream, so what any worker got as far as writing is
// true. Cursors that are outdone by one of a higher epoch are removed on the way.
func (l *Log) Cursor(id shape.ID) (c shape.Cursor, epoch shape.Epoch, ok bool, err error) {
	err = l.CursorsOf([]shape.ID{id}, func(_ shape.ID, e shape.Epoch, cur shape.Cursor) error {
		c, epoch, ok = cur, e, true
		return nil
	})
	return c, epoch, ok, err
}

// Cursors hands the cursor of every shape that has one to yield, as Cursor finds
// it, in the order of their IDs. It costs a seek or two for
// each shape.
func (l *Log) Cursors(yield func(shape.ID, shape.Epoch, shape.Cursor) error) error {
	return l.iterate(func(it *pebble.Iterator) error {
		var next []byte
		for ok := it.First(); ok; {
			if len(it.Key()) < 9 {
				return &CorruptError{What: fmt.Sprintf("key %x", it.Key())}
			}
			id := keyShape(it.Key())
			if err := l.bestCursor(it, id, yield); err != nil {
				return err
			}
			if it.Valid() && keyShape(it.Key()) > id {
				continue // the shape has no entries
			}
			if id+1 == 0 {
				break
			}
			next = appendShape(next[:0], id+1)
			ok = it.SeekGE(next)
		}
		return nil
	})
}

// CursorsOf is Cursors of some shapes, given in the order of their IDs.
func (l *Log) CursorsOf(ids []shape.ID, yield func(shape.ID, shape.Epoch, shape.Cursor) error) error {
	return l.iterate(func(it *pebble.Iterator) error {
		var key []byte
		for _, id := range ids {
			key = appendKind(key[:0], id, kindCursor)
			if !it.SeekGE(key) {
				return nil
			}
			if err := l.bestCursor(it, id, yield); err != nil {
				return err
			}
		}
		return nil
	})
}

// iterate runs f with an iterator over everything. What goes wrong in the iterator
// itself is told when it is closed.
func (l *Log) iterate(f func(it *pebble.Iterator) error) error {
	it, err := l.db.NewIter(nil)
	if err != nil {
		return fmt.Errorf("read cursors: %w", err)
	}
	err = f(it)
	if cerr := it.Close(); cerr != nil {
		err = errors.Join(err, fmt.Errorf("read cursors: %w", cerr))
	}
	return err
}

// bestCursor looks at the cursors of one shape, from where it stands on, and
// yields the best if there is one.
func (l *Log) bestCursor(it *pebble.Iterator, id shape.ID, yield func(shape.ID, shape.Epoch, shape.Cursor) error) error {
	var best shape.Cursor
	var highest, from shape.Epoch // of all, and of the best
	var lower []shape.Epoch
	n, entries := 0, false
	for ok := true; ok; ok = it.Next() {
		if len(it.Key()) < 9 || keyShape(it.Key()) != id {
			break
		}
		epoch, isCursor := cursorEpoch(it.Key())
		if !isCursor {
			entries = true
			break
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("read cursor of shape %d: %w", id, err)
		}
		c, good := readCursor(v)
		if !good {
			return &CorruptError{id, fmt.Sprintf("cursor %x", v)}
		}
		if n == 0 {
			highest = epoch // they come in falling order
		} else {
			lower = append(lower, epoch)
		}
		if n == 0 || c.Pos > best.Pos {
			best, from = c, epoch
		}
		n++
	}
	if entries {
		tail, err := newestTail(it, id, best.Tail)
		if err != nil {
			return err
		}
		if tail.Pos > best.Pos {
			best, from = tail, highest
		}
	}
	if n == 0 && best.Pos == 0 {
		return nil
	}
	if from == highest && !l.frozen {
		if err := l.dropCursors(id, lower); err != nil {
			return err
		}
	}
	return yield(id, highest, best)
}

// newestTail goes back from the shape's last entry to one that is the tail of a
// transaction. What lies behind it is of one that was not finished when the service
// ended. The cursor is the zero one if there is none behind a tail that is known.
func newestTail(it *pebble.Iterator, id shape.ID, known wal.Offset) (shape.Cursor, error) {
	var buf [9]byte
	for ok := it.SeekLT(appendKind(buf[:0], id, kindEntry+1)); ok; ok = it.Prev() {
		off, isEntry := entryOffset(it.Key())
		if !isEntry || keyShape(it.Key()) != id || !known.Less(off) {
			break
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return shape.Cursor{}, fmt.Errorf("read log of shape %d at %v: %w", id, off, err)
		}
		e, good := readEntry(off, v)
		if !good {
			return shape.Cursor{}, &CorruptError{id, fmt.Sprintf("entry %x", it.Key())}
		}
		if e.Pos != 0 {
			return shape.Cursor{Pos: e.Pos, Tail: off, ChunkBytes: e.ChunkBytes}, nil
		}
	}
	return shape.Cursor{}, nil
}

// dropCursors removes the cursors of some epochs. Doing this here, at a start or a
// fail-over, spares SetCursor from knowing which epochs there were. They are removed
// one by one: of ranges Pebble makes a list anew for each iterator that follows, and
// with fifty thousand of them a shard took seconds to get a fresh worker.
func (l *Log) dropCursors(id shape.ID, epochs []shape.Epoch) error {
	for _, e := range epochs {
		var key [cursorKeyLen]byte
		putCursorKey(key[:], id, e)
		if err := l.db.Delete(key[:], pebble.NoSync); err != nil {
			return fmt.Errorf("remove old cursors of shape %d: %w", id, err)
		}
		l.commits.Add(1)
	}
	return nil
}
