package shapelog

import (
	"encoding/binary"
	"fmt"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Every key begins with the shape's ID, so that one shape is one range, and
// all numbers are big endian, so that Pebble's order is theirs.
//
//	id(8) 'c' ^epoch(8)      cursor: the highest epoch comes first
//	id(8) 'e' tx(8) op(8)    entry
const (
	kindCursor = 'c'
	kindEntry  = 'e'

	cursorKeyLen = 8 + 1 + 8
	entryKeyLen  = 8 + 1 + 8 + 8

	// cursorFormat is the first byte of a cursor's value.
	cursorFormat   = 1
	cursorValueLen = 1 + 4*8

	// What the first byte of an entry says. The other bits are zero.
	flagBoundary = 1 // it is the last of its chunk
	flagCursor   = 2 // it is the tail of a cursor, whose rest follows

	entryHeadMax = 1 + 2*binary.MaxVarintLen64
)

// CorruptError says that something stored cannot be what was written.
type CorruptError struct {
	Shape shape.ID
	What  string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("shape log %d is damaged: %s", e.Shape, e.What)
}

func appendShape(dst []byte, id shape.ID) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(id))
}

// appendKind appends the prefix of all keys of one kind of one shape; with
// kind+1 it is the end of that range.
func appendKind(dst []byte, id shape.ID, kind byte) []byte {
	return append(appendShape(dst, id), kind)
}

func putEntryKey(dst []byte, id shape.ID, off wal.Offset) {
	binary.BigEndian.PutUint64(dst, uint64(id))
	dst[8] = kindEntry
	binary.BigEndian.PutUint64(dst[9:], uint64(off.Tx))
	binary.BigEndian.PutUint64(dst[17:], off.Op)
}

func putCursorKey(dst []byte, id shape.ID, epoch shape.Epoch) {
	binary.BigEndian.PutUint64(dst, uint64(id))
	dst[8] = kindCursor
	binary.BigEndian.PutUint64(dst[9:], ^uint64(epoch))
}

// appendAfter appends the first key that comes after the entry at off.
func appendAfter(dst []byte, id shape.ID, off wal.Offset) []byte {
	var key [entryKeyLen]byte
	putEntryKey(key[:], id, off)
	return append(append(dst, key[:]...), 0)
}

func keyShape(key []byte) shape.ID { return shape.ID(binary.BigEndian.Uint64(key)) }

func entryOffset(key []byte) (wal.Offset, bool) {
	if len(key) != entryKeyLen || key[8] != kindEntry {
		return wal.Offset{}, false
	}
	return wal.Offset{
		Tx: wal.LSN(binary.BigEndian.Uint64(key[9:])),
		Op: binary.BigEndian.Uint64(key[17:]),
	}, true
}

// appendEntryHead appends what comes before an entry's message:
//
//	flags(1) [uvarint Pos-Tail.Tx, uvarint ChunkBytes, of the cursor]
func appendEntryHead(dst []byte, e *Entry) []byte {
	var flags byte
	if e.Boundary {
		flags = flagBoundary
	}
	if e.Pos == 0 {
		return append(dst, flags)
	}
	dst = append(dst, flags|flagCursor)
	dst = binary.AppendUvarint(dst, uint64(e.Pos-e.Offset.Tx))
	return binary.AppendUvarint(dst, uint64(e.ChunkBytes))
}

// readEntry takes the value of the entry at off apart. Its JSON is a part of v.
func readEntry(off wal.Offset, v []byte) (e Entry, ok bool) {
	if len(v) == 0 || v[0] > flagBoundary|flagCursor {
		return e, false
	}
	e.Offset, e.Boundary = off, v[0]&flagBoundary != 0
	if v[0]&flagCursor == 0 {
		e.JSON = v[1:]
		return e, true
	}
	behind, n := binary.Uvarint(v[1:])
	if n <= 0 {
		return e, false
	}
	chunk, m := binary.Uvarint(v[1+n:])
	if m <= 0 {
		return e, false
	}
	e.Pos, e.ChunkBytes, e.JSON = off.Tx+wal.LSN(behind), int64(chunk), v[1+n+m:]
	return e, true
}

func cursorEpoch(key []byte) (shape.Epoch, bool) {
	if len(key) != cursorKeyLen || key[8] != kindCursor {
		return 0, false
	}
	return shape.Epoch(^binary.BigEndian.Uint64(key[9:])), true
}

func putCursor(dst []byte, c shape.Cursor) {
	dst[0] = cursorFormat
	binary.BigEndian.PutUint64(dst[1:], uint64(c.Pos))
	binary.BigEndian.PutUint64(dst[9:], uint64(c.Tail.Tx))
	binary.BigEndian.PutUint64(dst[17:], c.Tail.Op)
	binary.BigEndian.PutUint64(dst[25:], uint64(c.ChunkBytes))
}

func readCursor(v []byte) (shape.Cursor, bool) {
	if len(v) != cursorValueLen || v[0] != cursorFormat {
		return shape.Cursor{}, false
	}
	return shape.Cursor{
		Pos: wal.LSN(binary.BigEndian.Uint64(v[1:])),
		Tail: wal.Offset{
			Tx: wal.LSN(binary.BigEndian.Uint64(v[9:])),
			Op: binary.BigEndian.Uint64(v[17:]),
		},
		ChunkBytes: int64(binary.BigEndian.Uint64(v[25:])),
	}, true
}
