package consume

import (
	"bytes"
	"fmt"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Of a table without a primary key a transaction can have two equal rows for a while,
// which are one row for a client: UPDATE t SET n = n + 1 makes a second 2 of the 1
// before the 2 becomes a 3. A row that arrives and leaves again within a transaction,
// or an equal one does, is as if nothing had been: both messages are left out. For that
// the newest entries wait, about pendingBytes of them. One that leaves when the message
// of its arrival is out already cannot be told: the shape begins again.
const (
	pendingBytes = 256 << 10
	// releasedMost is how many arrivals that are out are known by a hash.
	releasedMost = 1 << 20
)

// pending are the entries of an open transaction that wait.
type pending struct {
	entries  []Entry          // JSON nil: left out
	arrivals map[string][]int // by key, positions in entries, the newest last
	bytes    int

	released map[uint64]struct{} // arrivals that are out
	many     bool                // and more of them

	// alone is the second half of a key change whose first half was left out.
	alone wal.Offset
}

// wait makes an entry wait, or leaves it out together with the one it undoes.
func (c *Consumer) wait(f form, tx *wal.Txn, at wal.Offset, before, after wal.Tuple, out *Out) error {
	p := c.open.pending
	if p == nil {
		p = &pending{arrivals: make(map[string][]int)}
		c.open.pending = p
	}
	switch f {
	case deleted, movedOut:
		key := shape.AppendKeyValues(nil, c.def.Table, before)
		if p.undo(string(key)) {
			p.alone = wal.Offset{Tx: at.Tx, Op: at.Op + 1}
			return nil
		}
		if p.isOut(key) {
			return &Rotate{shape.ReasonKey, fmt.Sprintf("%s of %q.%q, which has no primary key", short(key), c.def.Table.Schema, c.def.Table.Name)}
		}
	case movedIn:
		if p.alone == at { // then it is an ordinary one
			f, at.Op = inserted, at.Op-1
		}
		fallthrough
	default:
		key := string(shape.AppendKeyValues(nil, c.def.Table, after))
		p.arrivals[key] = append(p.arrivals[key], len(p.entries))
	}
	json := c.enc.message(f, tx, at, before, after)
	p.entries = append(p.entries, Entry{Offset: at, JSON: json})
	p.bytes += len(json)
	if p.bytes >= pendingBytes && f != movedOut { // both halves together
		c.release(out)
	}
	return nil
}

// undo leaves the newest arrival of a key out, if one waits.
func (p *pending) undo(key string) bool {
	came := p.arrivals[key]
	if len(came) == 0 {
		return false
	}
	i := came[len(came)-1]
	if came = came[:len(came)-1]; len(came) > 0 {
		p.arrivals[key] = came
	} else {
		delete(p.arrivals, key)
	}
	e := &p.entries[i]
	p.bytes -= len(e.JSON)
	e.JSON = nil
	if at := e.Offset; at.Op%2 == 1 && i > 0 {
		at.Op--
		if first := &p.entries[i-1]; first.Offset == at && first.JSON != nil {
			p.bytes -= len(first.JSON)
			first.JSON = withoutLink(first.JSON)
			p.bytes += len(first.JSON)
		}
	}
	return true
}

// withoutLink gives the first half of a key change without the header that names the
// second. What it looks for begins with a quote outside of any text, and is the last one
// in the message: no value has it.
func withoutLink(json []byte) []byte {
	from, to := bytes.LastIndex(json, []byte(keyChangeTo)), bytes.LastIndex(json, []byte(txids))
	return append(bytes.Clone(json[:from]), json[to:]...)
}

func (p *pending) isOut(key []byte) bool {
	_, is := p.released[hash(key)]
	return is || p.many
}

// release lets all that waits go.
func (c *Consumer) release(out *Out) {
	p := c.open.pending
	if p == nil {
		return
	}
	for i := range p.entries {
		if e := &p.entries[i]; e.JSON != nil {
			c.emit(e.Offset, e.JSON, out)
		}
	}
	if p.released == nil {
		p.released = make(map[uint64]struct{}, len(p.arrivals))
	}
	for key := range p.arrivals {
		if p.many = p.many || len(p.released) == releasedMost; p.many {
			break
		}
		p.released[hash([]byte(key))] = struct{}{}
	}
	clear(p.entries)
	clear(p.arrivals)
	p.entries, p.bytes = p.entries[:0], 0
}

// hash is FNV-1a, the same in every replay.
func hash(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, x := range b {
		h = (h ^ uint64(x)) * 1099511628211
	}
	return h
}

// short is a key for people.
func short(key []byte) string {
	if len(key) > 100 {
		return string(key[:100]) + "…"
	}
	return string(key)
}
