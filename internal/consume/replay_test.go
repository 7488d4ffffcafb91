package consume

import (
	"bytes"
	"math/rand"
	"testing"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// However a history is cut into pieces, broken off, sent again and resumed from
// an earlier cursor: the same bytes come at the same offsets, chunks end at the
// same entries.
func TestReplayGivesTheSameEntries(t *testing.T) {
	for seed := range int64(400) {
		rng := rand.New(rand.NewSource(seed))
		h := newHistory(rng)
		d, where := randomShape(rng, h.table)
		p := &player{t: t, h: h, def: d, where: where, chunk: 1 + rng.Int63n(3000)}
		if rng.Intn(2) == 0 {
			p.snap = &wal.Snapshot{
				Xmin: 1 << 30, Xmax: 3 << 30, Until: h.txns[rng.Intn(len(h.txns))].End,
				Xip: []uint64{uint64(h.txns[1].XID), uint64(h.txns[4].XID)},
			}
		}
		p.straight()
		for range 3 {
			p.stumbling(rng)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

type player struct {
	t     *testing.T
	h     *history
	def   *shape.Def
	where *condition
	chunk int64
	snap  *wal.Snapshot

	entries map[wal.Offset]Entry // what a straight run gave
	cursors []shape.Cursor       // before each transaction and after the last
}

func (p *player) consumer(cur shape.Cursor) *Consumer {
	return consumer(p.def, p.where, cur, p.chunk, p.snap)
}

func (p *player) straight() {
	p.entries = map[wal.Offset]Entry{}
	c := p.consumer(start)
	for i := range p.h.txns {
		p.cursors = append(p.cursors, c.Cursor())
		entries, err := run(c, &p.h.txns[i])
		if err != nil {
			p.t.Fatal(err)
		}
		for k, e := range entries {
			p.entries[e.Offset] = e
			want := shape.Cursor{}
			if k == len(entries)-1 {
				want = c.Cursor()
			}
			if got := (shape.Cursor{Pos: e.Pos, Tail: want.Tail, ChunkBytes: e.ChunkBytes}); got != want || want.Pos != 0 && e.Offset != want.Tail {
				p.t.Errorf("entry %d of %d at %s says %+v, the cursor behind it is %+v", k+1, len(entries), e.Offset, got, want)
			}
		}
	}
	p.cursors = append(p.cursors, c.Cursor())
}

// stumbling plays from the beginning again, badly, and checks every entry.
func (p *player) stumbling(rng *rand.Rand) {
	written := map[wal.Offset]bool{}
	var enc Encoders
	var out Out
	drain := func() {
		for _, e := range out.Entries {
			want, ok := p.entries[e.Offset]
			if !ok || !bytes.Equal(e.JSON, want.JSON) || e.Boundary != want.Boundary || e.Pos != want.Pos || e.ChunkBytes != want.ChunkBytes {
				p.t.Errorf("at %s: got %+v, want %+v", e.Offset, e, want)
			}
			written[e.Offset] = true
		}
		out.Reset()
	}
	c := p.consumer(start)
	for i := 0; i < len(p.h.txns); {
		tx := &p.h.txns[i]
		broken := false
		for k := range tx.changes {
			if err := c.Change(&tx.Txn, &tx.changes[k], &out); err != nil {
				p.t.Fatal(err)
			}
			if rng.Intn(2) == 0 {
				drain()
			}
			if broken = rng.Intn(12) == 0; broken {
				break
			}
		}
		if broken {
			c.Abort()
		} else {
			c.Commit(&tx.Txn, &out)
			i++
		}
		drain()
		switch rng.Intn(8) {
		case 0: // crash: the durable cursor may be older, the replay older still
			j := rng.Intn(i + 1)
			c = p.consumer(p.cursors[j])
			i = rng.Intn(j + 1)
		case 1: // another session repeats what was seen
			i = rng.Intn(i + 1)
		case 2:
			c.Share(&enc)
		case 3:
			c.Share(nil)
		}
		if got := c.Cursor(); got.Pos == p.cursors[i].Pos && got != p.cursors[i] {
			p.t.Errorf("cursor: got %+v, want %+v", got, p.cursors[i])
		}
	}
	if got, want := c.Cursor(), p.cursors[len(p.cursors)-1]; got != want {
		p.t.Errorf("cursor at the end: got %+v, want %+v", got, want)
	}
	if len(written) != len(p.entries) {
		p.t.Errorf("%d entries written, want %d", len(written), len(p.entries))
	}
}
