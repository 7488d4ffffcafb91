package consume

import (
	"fmt"
	"strings"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// Encoders lets consumers that agree on table, columns and replica mode share
// the bytes of a change: 10,000 shapes that differ only in their WHERE encode a
// row once. One worker owns it with all its consumers. It remembers the messages
// of the newest change only, so consumers must be given a change each before
// the next change for this to help.
//
// Messages are cut from blocks. The owner says when nobody needs those so far any
// more (Recycle); most blocks are used again then.
// Rejected: a buffer that Out.Reset reuses. Every consumer then has to copy the entry
// that it holds back, and keep a buffer for it while it is idle.
type Encoders struct {
	shared map[string]*encoder

	// warm are those that remember messages of the change at.
	warm []*encoder
	at   wal.Offset

	block []byte // free from len to cap
	alone bool   // one consumer's own: its blocks stay small
	// left are full blocks whose messages may be needed, spare ones whose are not.
	left, spare [][]byte

	before, after wal.Tuple // rows whose columns had to be put in order

	ended []*opened // room for transactions that is free again
}

// The sizes of a block, in bytes. A consumer that shares with nobody gets small
// ones, since it keeps the last while it is idle.
const (
	sharedBlock = 64 << 10
	loneBlock   = 2 << 10

	// keepBlocks is how many are used again: what the messages of about a MiB of the
	// stream take.
	keepBlocks = 32
)

// Share lets c encode together with the consumers that share e. nil takes it
// out again; a shape that is gone must be taken out.
func (c *Consumer) Share(e *Encoders) {
	if c.enc != nil {
		c.enc.release()
	}
	c.enc, c.rel = nil, nil
	if e != nil {
		c.enc = e.get(c.def)
	}
}

// encoder is the consumer's encoder, one of its own if it shares none.
func (c *Consumer) encoder() *encoder {
	if c.enc == nil {
		c.enc = newEncoder(c.def, &Encoders{alone: true})
	}
	return c.enc
}

func (e *Encoders) get(def *shape.Def) *encoder {
	name := agreement(def)
	enc := e.shared[name]
	if enc == nil {
		enc = newEncoder(def, e)
		enc.name = name
		if e.shared == nil {
			e.shared = map[string]*encoder{}
		}
		e.shared[name] = enc
	}
	enc.users++
	return enc
}

// agreement is equal for two definitions whose messages are equal.
func agreement(def *shape.Def) string {
	var b strings.Builder
	t := def.Table
	fmt.Fprintf(&b, "%d %q %q %v %v %d", t.OID, t.Schema, t.Name, t.PK, def.Columns, def.Replica)
	for i := range t.Columns {
		c := &t.Columns[i]
		fmt.Fprintf(&b, " %q %d %d", c.Name, c.Type.OID, c.TypMod)
	}
	return b.String()
}

// encoder makes the messages of one table, one list of columns and one mode.
type encoder struct {
	layout
	owner *Encoders
	name  string // in owner.shared
	users int

	newest    *aligned            // of relations
	relations map[uint32]*aligned // by OID: a partitioned table has many

	warm bool
	made [nForms][]byte // messages of the change owner.at
	// lastOf and lastMade are the newest message that got its "last":true,
	// before and after.
	lastOf, lastMade []byte
}

// aligned is one version of a relation as the encoder sees it.
type aligned struct {
	rel     *wal.Relation
	mapping shape.Mapping
	fault   error // a column that messages need is missing
}

func newEncoder(def *shape.Def, owner *Encoders) *encoder {
	return &encoder{layout: newLayout(def), owner: owner, relations: map[uint32]*aligned{}}
}

func (e *encoder) release() {
	e.users--
	if e.users <= 0 {
		delete(e.owner.shared, e.name)
	}
}

func (e *encoder) align(rel *wal.Relation) *aligned {
	if e.newest != nil && e.newest.rel == rel {
		return e.newest
	}
	a := e.relations[rel.OID]
	if a == nil || a.rel != rel {
		a = &aligned{rel: rel, mapping: shape.Align(e.table, rel)}
		if a.fault = a.mapping.Check(e.cols); a.fault == nil {
			a.fault = a.mapping.Check(e.key)
		}
		e.relations[rel.OID] = a
	}
	e.newest = a
	return a
}

// rows gives the rows of a change with the columns of the table. They are good
// until the next call to any encoder of the same owner.
func (e *encoder) rows(ch *wal.Change) (before, after wal.Tuple) {
	o, a := e.owner, e.align(ch.Rel)
	if ch.Old != nil {
		before = a.mapping.Row(ch.Old, o.before)
	}
	if ch.New != nil {
		after = a.mapping.Row(ch.New, o.after)
	}
	if !a.mapping.Identity() {
		o.before, o.after = keepLonger(o.before, before), keepLonger(o.after, after)
	}
	return before, after
}

func keepLonger(a, b wal.Tuple) wal.Tuple {
	if cap(b) > cap(a) {
		return b
	}
	return a
}

// message gives the bytes of the change at offset at in the form f, without
// "last":true.
func (e *encoder) message(f form, tx *wal.Txn, at wal.Offset, before, after wal.Tuple) []byte {
	o := e.owner
	change := wal.Offset{Tx: at.Tx, Op: at.Op &^ 1} // both halves of a key change
	if o.at != change {
		o.cool()
		o.at = change
	}
	if m := e.made[f]; m != nil {
		return m
	}
	e.heat()
	dst := o.room(e.size(before) + e.size(after))
	m := o.take(e.append(dst, f, tx, at, before, after))
	e.made[f] = m
	return m
}

// last gives message m with "last":true.
func (e *encoder) last(m []byte) []byte {
	if e.lastOf != nil && &e.lastOf[0] == &m[0] {
		return e.lastMade
	}
	e.heat()
	dst := e.owner.room(len(m) + len(lastTail))
	dst = append(dst, m[:len(m)-len(plainTail)]...)
	e.lastOf, e.lastMade = m, e.owner.take(append(dst, lastTail...))
	return e.lastMade
}

func (e *encoder) heat() {
	if !e.warm {
		e.warm = true
		e.owner.warm = append(e.owner.warm, e)
	}
}

// cool forgets the messages of a change. An encoder that nobody uses for a long
// time must not hold the block in which its last message lies.
func (o *Encoders) cool() {
	for _, e := range o.warm {
		e.warm = false
		e.made = [nForms][]byte{}
		e.lastOf, e.lastMade = nil, nil
	}
	clear(o.warm)
	o.warm = o.warm[:0]
}

// Recycle makes the room of all messages free again. They must have been copied, and no
// consumer may have a transaction open: it holds an entry back. Messages were half of
// what a change allocates, and with a million shapes each collection is long.
func (o *Encoders) Recycle() {
	o.cool()
	o.at = wal.Offset{}
	if o.block = o.block[:0]; cap(o.block) > sharedBlock {
		o.block = nil // of one large message
	}
	o.spare = append(o.spare, o.left...)
	clear(o.left)
	o.left = o.left[:0]
}

// begin gives room for a transaction.
func (o *Encoders) begin() *opened {
	last := len(o.ended) - 1
	if last < 0 {
		return new(opened)
	}
	t := o.ended[last]
	o.ended = o.ended[:last]
	return t
}

// keepEnded bounds the transactions whose room is used again: one that touched many
// shapes at once is not paid for for ever.
const keepEnded = 1024

// end takes the room of a transaction back.
func (o *Encoders) end(t *opened) {
	*t = opened{}
	if len(o.ended) < keepEnded && !o.alone {
		o.ended = append(o.ended, t)
	}
}

// room gives an empty slice to append about n bytes to, and then to be handed
// to take.
func (o *Encoders) room(n int) []byte {
	if cap(o.block)-len(o.block) < n {
		o.block = o.fresh(n)
	}
	return o.block[len(o.block):]
}

// fresh gives a block with room for n bytes in place of the present one.
func (o *Encoders) fresh(n int) []byte {
	if o.alone {
		return make([]byte, 0, max(n, loneBlock))
	}
	if cap(o.block) == sharedBlock && len(o.left)+len(o.spare) < keepBlocks {
		o.left = append(o.left, o.block[:0])
	}
	last := len(o.spare) - 1
	if n > sharedBlock || last < 0 {
		return make([]byte, 0, max(n, sharedBlock))
	}
	b := o.spare[last]
	o.spare[last] = nil
	o.spare = o.spare[:last]
	return b
}

// take ends what room began. If it grew too long for the block it lies
// elsewhere by now and the block has its room back.
func (o *Encoders) take(b []byte) []byte {
	if len(b) <= cap(o.block)-len(o.block) {
		o.block = o.block[:len(o.block)+len(b)]
	}
	return b[:len(b):len(b)]
}
