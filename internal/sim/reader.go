package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// message is a message of a shape's log, as a client parses it.
type message struct {
	Key     string             `json:"key"`
	Value   map[string]*string `json:"value"`
	Headers struct {
		Operation string `json:"operation"`
		Control   string `json:"control"`
		LSN       string `json:"lsn"`
		Op        uint64 `json:"op_position"`
		Last      bool   `json:"last"`
	} `json:"headers"`
}

// Reader follows one shape as a client does, and believes nothing.
type Reader struct {
	Def    *shape.Def
	Handle shape.Handle
	// Live: the shape's first rows were durable, it must survive a crash.
	Live bool
	// Gone is why the handle ended, "" while it lives or if a crash hid it.
	Gone shape.Reason

	shape    *registry.Shape // as it was found last
	rows     map[string]map[string]*string
	chunks   [][]byte // of the snapshot, as read
	inLog    bool     // the snapshot is read
	after    wal.Offset
	log      []byte // messages read, joined by commas
	lastSeen bool   // the newest message had "last"
	sees     *wal.Snapshot

	// Seen is the highest position at which it was told to be up to date.
	Seen wal.LSN
	// Snapshots counts handles, Messages what was read of logs.
	Snapshots, Messages int
}

// Follow begins with a handle. What it notes of the shape is a copy: it outlives the
// process that the shape is in.
func (r *Reader) Follow(sp *registry.Shape) {
	def := *sp.Def()
	*r = Reader{
		Def: &def, Handle: sp.Handle(), shape: sp, rows: make(map[string]map[string]*string),
		Snapshots: r.Snapshots + 1, Messages: r.Messages, lastSeen: true,
	}
}

// errGone says that the handle has ended: the client starts again.
var errGone = errors.New("sim: must refetch")

// Poll reads all there is. upToDate: it came to the end of the log.
func (r *Reader) Poll(reg *registry.Registry) (upToDate bool, err error) {
	sp := reg.ByHandle(r.Handle)
	if sp == nil {
		// Who was there when it went knows why; after a crash nobody does.
		if reason, gone := r.shape.Removed(); gone {
			r.Gone = reason
		}
		return false, errGone
	}
	r.shape = sp
	defer func() {
		if reason, gone := sp.Removed(); gone {
			r.Gone, err = reason, errGone
		}
	}()
	r.Live = r.Live || sp.State() == registry.Live
	if sp.State() == registry.Parked {
		return false, nil // told to come again later
	}
	if !r.inLog {
		if err := r.first(sp); err != nil || !r.inLog {
			return false, err
		}
	}
	for {
		was := r.after
		upToDate, err := r.page(sp)
		if err != nil || upToDate {
			return upToDate, err
		}
		if r.after == was {
			return false, fmt.Errorf("%s: offset %s is beyond the tail %s", r.Handle, was, sp.Tail())
		}
	}
}

// first reads the chunks of the snapshot that are complete.
func (r *Reader) first(sp *registry.Shape) error {
	select {
	case <-sp.Ready():
	default:
		return nil
	}
	if sp.SnapshotErr() != nil {
		r.Gone = shape.ReasonSnapshot
		return errGone
	}
	snap, err := sp.Snapshot()
	if err != nil {
		return r.failed(sp, err)
	}
	if sees := sp.Sees(); sees != nil && r.sees == nil {
		known := *sees
		r.sees = &known
	}
	for {
		n, complete := snap.Chunks()
		k := len(r.chunks)
		if k == n {
			r.inLog = complete && snap.Err() == nil
			r.after = wal.AfterSnapshot
			return nil
		}
		_, closed, err := snap.Chunk(k).Size()
		if err != nil {
			return r.failed(sp, err)
		}
		if !closed {
			return nil
		}
		var b bytes.Buffer
		if _, err := snap.Chunk(k).WriteTo(context.Background(), &b, nil); err != nil {
			return r.failed(sp, err)
		}
		r.chunks = append(r.chunks, b.Bytes())
		msgs, err := parse(b.Bytes())
		if err != nil {
			return err
		}
		for i := range msgs {
			if err := r.apply(&msgs[i]); err != nil {
				return fmt.Errorf("%s: snapshot chunk %d: %w", r.Handle, k, err)
			}
		}
	}
}

// failed tells a snapshot that was given up from one that cannot be read.
func (r *Reader) failed(sp *registry.Shape, err error) error {
	if sp.SnapshotErr() != nil {
		r.Gone = shape.ReasonSnapshot
		return errGone
	}
	return fmt.Errorf("%s: read the snapshot: %w", r.Handle, err)
}

func (r *Reader) page(sp *registry.Shape) (upToDate bool, err error) {
	p, err := sp.ReadLog(r.after, nil, math.MaxInt)
	if err != nil {
		return false, fmt.Errorf("%s: read the log after %s: %w", r.Handle, r.after, err)
	}
	msgs, err := parse(p.Body)
	if err != nil {
		return false, err
	}
	if len(msgs) != p.N {
		return false, fmt.Errorf("%s: %d messages after %s instead of %d", r.Handle, len(msgs), r.after, p.N)
	}
	if len(r.log) > 0 && p.N > 0 {
		r.log = append(r.log, ',')
	}
	r.log = append(r.log, p.Body...)
	for i := range msgs {
		if err := r.follow(&msgs[i]); err != nil {
			return false, fmt.Errorf("%s: after %s: %w\n%s", r.Handle, r.after, err, p.Body)
		}
	}
	if p.N > 0 && r.after != p.End {
		return false, fmt.Errorf("%s: the page ends at %s, its last message is %s", r.Handle, p.End, r.after)
	}
	if !p.UpToDate {
		return false, nil
	}
	if !r.lastSeen {
		return false, fmt.Errorf("%s: up to date at %s in the middle of a transaction", r.Handle, r.after)
	}
	if p.Seen < r.after.Tx {
		return false, fmt.Errorf("%s: told to have seen %s at the offset %s", r.Handle, p.Seen, r.after)
	}
	r.Seen = max(r.Seen, p.Seen)
	return true, nil
}

// follow takes one message of the log.
func (r *Reader) follow(m *message) error {
	lsn, err := strconv.ParseUint(m.Headers.LSN, 10, 64)
	if err != nil {
		return fmt.Errorf("message without a position: %w", err)
	}
	at := wal.Offset{Tx: wal.LSN(lsn), Op: m.Headers.Op}
	if !r.after.Less(at) {
		return fmt.Errorf("offset %s comes after %s", at, r.after)
	}
	if r.lastSeen != (r.after.Tx != at.Tx) {
		return fmt.Errorf("\"last\" is %t before %s", r.lastSeen, at)
	}
	r.after, r.lastSeen = at, m.Headers.Last
	r.Messages++
	return r.apply(m)
}

func (r *Reader) apply(m *message) error {
	row, there := r.rows[m.Key]
	switch m.Headers.Operation {
	case "insert":
		if there {
			return fmt.Errorf("%s is inserted twice", m.Key)
		}
		r.rows[m.Key] = m.Value
	case "update":
		if !there {
			return fmt.Errorf("%s is updated and is not there", m.Key)
		}
		for name, v := range m.Value {
			row[name] = v
		}
	case "delete":
		if !there {
			return fmt.Errorf("%s is deleted and is not there", m.Key)
		}
		delete(r.rows, m.Key)
	default:
		if m.Headers.Control != "snapshot-end" {
			return fmt.Errorf("unknown message %+v", m)
		}
	}
	return nil
}

// Reread makes sure that what was read is there again, byte for byte.
func (r *Reader) Reread(reg *registry.Registry) error {
	sp := reg.ByHandle(r.Handle)
	if sp == nil {
		return errGone
	}
	snap, err := sp.Snapshot()
	if err != nil {
		return r.failed(sp, err)
	}
	for k, was := range r.chunks {
		var b bytes.Buffer
		if _, err := snap.Chunk(k).WriteTo(context.Background(), &b, nil); err != nil {
			return fmt.Errorf("%s: read snapshot chunk %d again: %w", r.Handle, k, err)
		}
		if !bytes.Equal(was, b.Bytes()) {
			return fmt.Errorf("%s: snapshot chunk %d was\n%s\nand is\n%s", r.Handle, k, was, b.Bytes())
		}
	}
	var log []byte
	for at := wal.AfterSnapshot; at.Less(r.after); {
		p, err := sp.ReadLog(at, nil, math.MaxInt)
		if errors.Is(err, registry.ErrRemoved) {
			return errGone
		}
		if err != nil || p.N == 0 {
			return fmt.Errorf("%s: read the log again after %s, which had come to %s: tail %s: %w", r.Handle, at, r.after, sp.Tail(), err)
		}
		if len(log) > 0 {
			log = append(log, ',')
		}
		log, at = append(log, p.Body...), p.End
	}
	if !bytes.HasPrefix(log, r.log) {
		return fmt.Errorf("%s: the log was\n%s\nand is\n%s", r.Handle, r.log, log)
	}
	return nil
}

func parse(body []byte) (msgs []message, err error) {
	if err := json.Unmarshal(append(append([]byte{'['}, body...), ']'), &msgs); err != nil {
		return nil, fmt.Errorf("%w in %s", err, body)
	}
	return msgs, nil
}
