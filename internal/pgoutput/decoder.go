package pgoutput

import (
	"errors"
	"fmt"

	"github.com/spillway-sync/spillway/internal/wal"
)

// Kind says what an Event is.
type Kind uint8

// The kinds of events.
const (
	// None: a message that does not concern us (origin, type, logical message).
	None     Kind = iota
	Begin         // Txn.Commit and Txn.XID are known
	Change        // Change
	Truncate      // Truncated, one change for each table
	Commit        // Txn with its End
	Relation      // Rel
)

// Event is what one message says.
type Event struct {
	Kind      Kind
	Txn       wal.Txn
	Change    wal.Change
	Truncated []wal.Change
	Rel       *wal.Relation
}

// Decoder decodes the messages of one session, in order. The zero value is
// ready. One goroutine owns it.
type Decoder struct {
	relations map[uint32]*wal.Relation
	txn       wal.Txn
	open      bool
	seq       uint64
	slab      [][]byte
}

// slabValues is how many values one slab holds: a slab of 4,096 values is
// 96 KiB, one allocation for some hundreds of rows.
const slabValues = 4096

// Reset forgets relations and an open transaction: a new session begins.
func (d *Decoder) Reset() { *d = Decoder{} }

var (
	errNoTxn    = errors.New("a change outside of a transaction")
	errOpenTxn  = errors.New("a transaction begins inside another")
	errRelation = errors.New("a change of a table that was not announced")
)

// Decode reads one message. Values of the event alias it. After an error the
// session cannot be continued.
func (d *Decoder) Decode(msg []byte) (Event, error) {
	r := reader{b: msg}
	kind := r.byte()
	if r.failed {
		return Event{}, errShort
	}
	ev, err := d.decode(kind, &r)
	if err != nil { // whatever ev holds by then
		return Event{}, fmt.Errorf("decode message %q: %w", kind, err)
	}
	return ev, nil
}

func (d *Decoder) decode(kind byte, r *reader) (Event, error) {
	switch kind {
	case 'B':
		return d.begin(r)
	case 'C':
		return d.commit(r)
	case 'R':
		return d.relation(r)
	case 'I', 'U', 'D':
		return d.change(kind, r)
	case 'T':
		return d.truncate(r)
	case 'O', 'Y', 'M':
		return Event{}, nil
	}
	return Event{}, errors.New("unknown kind of message")
}

func (d *Decoder) begin(r *reader) (Event, error) {
	if d.open {
		return Event{}, errOpenTxn
	}
	txn := wal.Txn{Commit: wal.LSN(r.uint64())}
	r.uint64() // time of the commit
	txn.XID = wal.XID(r.uint32())
	if err := r.end(); err != nil {
		return Event{}, err
	}
	d.txn, d.open, d.seq = txn, true, 0
	return Event{Kind: Begin, Txn: txn}, nil
}

func (d *Decoder) commit(r *reader) (Event, error) {
	if !d.open {
		return Event{}, errNoTxn
	}
	r.byte() // flags, none defined
	commit := wal.LSN(r.uint64())
	end := wal.LSN(r.uint64())
	r.uint64() // time
	if err := r.end(); err != nil {
		return Event{}, err
	}
	if commit != d.txn.Commit || end <= commit {
		return Event{}, fmt.Errorf("commit at %s to %s of the transaction that was announced for %s", commit, end, d.txn.Commit)
	}
	d.txn.End, d.open = end, false
	return Event{Kind: Commit, Txn: d.txn}, nil
}

func (d *Decoder) change(kind byte, r *reader) (Event, error) {
	ch, err := d.next(r)
	if err != nil {
		return Event{}, err
	}
	n := len(ch.Rel.Columns)
	part := r.byte()
	if kind != 'I' && (part == 'O' || part == 'K') {
		var hole bool
		if ch.Old, err = d.tuple(r, n, nil, &hole); err != nil {
			return Event{}, err
		}
		// Postgres writes old rows with all values in place. One with a hole
		// nevertheless is worth no more than a key.
		ch.OldIsKey = part == 'K' || hole
		if kind == 'U' {
			part = r.byte()
		}
	}
	switch kind {
	case 'I', 'U':
		ch.Op = wal.Insert
		if kind == 'U' {
			ch.Op = wal.Update
		}
		if part != 'N' {
			return Event{}, fmt.Errorf("want a new row, got %q", part)
		}
		if ch.New, err = d.tuple(r, n, ch.Old, &ch.Incomplete); err != nil {
			return Event{}, err
		}
	case 'D':
		ch.Op = wal.Delete
		if ch.Old == nil {
			return Event{}, fmt.Errorf("want an old row, got %q", part)
		}
	}
	return Event{Kind: Change, Change: ch}, r.end()
}

// next begins a change: it reads its relation and gives it its number.
func (d *Decoder) next(r *reader) (wal.Change, error) {
	oid := r.uint32()
	if err := r.err(); err != nil {
		return wal.Change{}, err
	}
	if !d.open {
		return wal.Change{}, errNoTxn
	}
	rel := d.relations[oid]
	if rel == nil {
		return wal.Change{}, fmt.Errorf("%w: oid %d", errRelation, oid)
	}
	ch := wal.Change{Rel: rel, Seq: d.seq}
	d.seq += 2
	return ch, nil
}

func (d *Decoder) truncate(r *reader) (Event, error) {
	n := int(r.uint32())
	r.byte() // CASCADE, RESTART IDENTITY: the same to us
	if r.failed || n < 0 || n > len(r.b)/4 {
		return Event{}, errShort
	}
	if !d.open {
		return Event{}, errNoTxn
	}
	ev := Event{Kind: Truncate, Truncated: make([]wal.Change, 0, n)}
	for range n {
		ch, err := d.next(r)
		if err != nil {
			return Event{}, err
		}
		ch.Op = wal.Truncate
		ev.Truncated = append(ev.Truncated, ch)
	}
	return ev, r.end()
}

// tuple reads a row of n columns. An unchanged TOASTed value is taken from
// fill, the row before. If that does not have it (a TOASTed value is not NULL, so
// a nil there says so) *incomplete is set and the value is nil.
func (d *Decoder) tuple(r *reader, n int, fill wal.Tuple, incomplete *bool) (wal.Tuple, error) {
	if got := int(r.uint16()); got != n || r.failed {
		return nil, fmt.Errorf("a row has %d columns, its table %d", got, n)
	}
	if n > len(r.b) {
		return nil, errShort // every column takes a byte at least
	}
	t := d.cut(n)
	for i := range n {
		switch kind := r.byte(); kind {
		case 't':
			t[i] = r.take(int(r.uint32()))
		case 'n':
		case 'u':
			if fill == nil || fill[i] == nil {
				*incomplete = true
				continue
			}
			t[i] = fill[i]
		default:
			if err := r.err(); err != nil {
				return nil, err
			}
			return nil, fmt.Errorf("unknown kind of value %q", kind)
		}
	}
	return t, r.err()
}

// cut takes n values from the slab.
func (d *Decoder) cut(n int) wal.Tuple {
	if n > len(d.slab) {
		d.slab = make([][]byte, max(slabValues, n))
	}
	t := d.slab[:n:n]
	d.slab = d.slab[n:]
	return t
}
