package sim

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/spillway-sync/spillway/internal/journal"
	"github.com/spillway-sync/spillway/internal/wal"
)

// slot is the replication slot. Guarded by Postgres.mu.
type slot struct {
	confirmed wal.LSN // what is below is not sent again
	told      wal.LSN // the highest that it was told; a new one was told nothing
}

// Told is the highest position that was acknowledged.
func (p *Postgres) Told() wal.LSN {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slot.told
}

// Confirmed is the position from which the slot sends.
func (p *Postgres) Confirmed() wal.LSN {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slot.confirmed
}

// from returns the transactions whose commit records lie at or above a
// position, and the end of the log.
func (p *Postgres) from(pos wal.LSN) (txs []*Tx, end wal.LSN, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log[p.below(pos):], p.lsn, p.changed
}

// Session is one replication connection: it cuts the stream into frames and
// offers them to the journal, like pgrepl.
type Session struct {
	pg      *Postgres
	j       *journal.Journal
	rng     *rand.Rand
	known   map[uint32][]byte // Relation messages sent, by table
	frame   wal.Frame
	news    bool    // a Relation message is in the frame
	pos     wal.LSN // what lies below was sent
	vouched wal.LSN // the last position told
	most    int     // messages of a frame, about
}

// keepalive is how often a quiet session tells how far it is.
const keepalive = time.Second

// Stream sends from a position on until ctx is done. An ack is given to the
// slot through ack, so that a crash can be put between two of them.
func (p *Postgres) Stream(ctx context.Context, j *journal.Journal, from wal.LSN, seed uint64, ack func(func())) {
	s := &Session{
		pg: p, j: j, rng: rand.New(rand.NewPCG(seed, 7)), known: make(map[uint32][]byte), pos: from,
	}
	s.most = 1 << s.rng.IntN(9)
	if !s.offer(ctx, wal.Frame{Kind: wal.FrameReset}, ack) {
		return
	}
	for ctx.Err() == nil {
		txs, end, changed := p.from(s.pos)
		for _, tx := range txs {
			if !s.send(ctx, tx, ack) {
				return
			}
		}
		if len(s.frame.Data) > 0 && !s.flush(ctx, false, ack) {
			return
		}
		if len(txs) == 0 && end > s.vouched {
			s.pos, s.vouched = end, end
			if !s.offer(ctx, wal.Frame{Kind: wal.FrameProgress, Position: end}, ack) {
				return
			}
		}
		select {
		case <-changed:
		case <-time.After(keepalive):
		case <-ctx.Done():
		}
		p.ack(j, ack)
	}
}

// ack confirms what the journal has fsynced.
func (p *Postgres) ack(j *journal.Journal, atomically func(func())) {
	atomically(func() {
		at := j.Synced()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.slot.told = max(p.slot.told, at)
		p.slot.confirmed = max(p.slot.confirmed, at)
	})
}

func (s *Session) send(ctx context.Context, tx *Tx, ack func(func())) bool {
	s.pos = tx.End
	begun := false
	for i := range tx.ops {
		o := &tx.ops[i]
		if !o.published {
			continue
		}
		if !begun {
			begun = true
			s.message(appendBegin(nil, tx.Commit, wal.XID(tx.xid)))
		}
		if s.known[o.table.Def.OID] == nil {
			rel := appendRelation(nil, o.table.Def)
			s.known[o.table.Def.OID] = rel
			s.news = true
			s.message(rel)
		}
		s.message(appendOp(nil, o))
		if s.rng.IntN(s.most) == 0 {
			if !s.flush(ctx, true, ack) {
				return false
			}
			s.dawdle(ctx)
		}
	}
	if !begun {
		return true // a keepalive vouches for it
	}
	s.message(appendCommit(nil, tx.Commit, tx.End))
	s.frame.Position = tx.End
	return s.rng.IntN(s.most) != 0 || s.flush(ctx, false, ack)
}

// dawdle lets time pass inside a transaction, sometimes: only then can the
// session drop there.
func (s *Session) dawdle(ctx context.Context) {
	if s.rng.IntN(8) != 0 {
		return
	}
	select {
	case <-time.After(time.Duration(s.rng.IntN(100)) * time.Millisecond):
	case <-ctx.Done():
	}
}

func (s *Session) message(m []byte) { s.frame.Data = wal.AppendMessage(s.frame.Data, m) }

func (s *Session) flush(ctx context.Context, open bool, ack func(func())) bool {
	f := s.frame
	f.Kind, f.Open = wal.FrameData, open
	if s.news {
		s.news = false
		for _, t := range s.pg.tables {
			if rel := s.known[t.Def.OID]; rel != nil {
				f.Preamble = wal.AppendMessage(f.Preamble, rel)
			}
		}
	}
	s.frame = wal.Frame{}
	return s.offer(ctx, f, ack)
}

// offer waits until the journal takes a frame; false: the session is over.
func (s *Session) offer(ctx context.Context, f wal.Frame, ack func(func())) bool {
	for ctx.Err() == nil {
		if s.j.Offer(f) {
			return true
		}
		s.pg.ack(s.j, ack)
		select {
		case <-s.j.Space():
		case <-time.After(keepalive):
		case <-ctx.Done():
		}
	}
	return false
}

// Frames gives a committed transaction as a session of its own would send it: a
// reset, the first messages, and the others.
func (tx *Tx) Frames(first int) [3]wal.Frame {
	msgs := [][]byte{appendBegin(nil, tx.Commit, wal.XID(tx.xid))}
	known := make(map[*Table]bool)
	var preamble []byte
	for i := range tx.ops {
		if t := tx.ops[i].table; !known[t] {
			known[t] = true
			msgs = append(msgs, appendRelation(nil, t.Def))
			preamble = wal.AppendMessage(preamble, msgs[len(msgs)-1])
		}
		msgs = append(msgs, appendOp(nil, &tx.ops[i]))
	}
	msgs = append(msgs, appendCommit(nil, tx.Commit, tx.End))
	a := wal.Frame{Kind: wal.FrameData, Open: true, Preamble: preamble}
	b := wal.Frame{Kind: wal.FrameData, Position: tx.End}
	for i, m := range msgs {
		if i < first {
			a.Data = wal.AppendMessage(a.Data, m)
		} else {
			b.Data = wal.AppendMessage(b.Data, m)
		}
	}
	return [3]wal.Frame{{Kind: wal.FrameReset}, a, b}
}
