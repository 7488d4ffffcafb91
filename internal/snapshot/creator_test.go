package snapshot

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

type pause = func(context.Context, time.Duration) error

// place is a Stream and a Database that does what a test says at the wait for
// writers.
type place struct {
	reg     *registry.Registry
	writers func(context.Context, pause) error
	publish func(*shape.Table) // nil: it is published
	removed chan shape.Reason
}

func (p *place) Routed() wal.LSN                                      { return 1 }
func (p *place) Pin(context.Context, shape.ID) error                  { return nil }
func (p *place) Explain(err error) error                              { return err }
func (p *place) Join(context.Context, *registry.Shape, wal.LSN) error { return nil }

func (p *place) Publish(_ context.Context, t *shape.Table) (Family, error) {
	if p.publish != nil {
		p.publish(t)
	}
	return nil, nil
}

func (p *place) Remove(sp *registry.Shape, reason shape.Reason, _ string) { p.removed <- reason }

func (p *place) WritersGone(ctx context.Context, _ *shape.Table, again pause) (wal.LSN, error) {
	return 1, p.writers(ctx, again)
}

func (p *place) Snapshot(_ context.Context, _ *shape.Def, _ Family, onSight func(wal.Snapshot) error, onStart func() error, _ func(wal.Tuple) error) error {
	return errors.Join(onSight(wal.Snapshot{Xmin: 1, Xmax: 1, Until: 1}), onStart())
}

func newPlace(t *testing.T, workers int, writers func(context.Context, pause) error) (*place, *Creator) {
	t.Helper()
	fs := vfs.NewMem()
	log, err := shapelog.Open(shapelog.Options{FS: fs, Dir: "data"})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Open(registry.Options{FS: fs, Dir: "data/catalogue", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	p := &place{reg: reg, writers: writers, removed: make(chan shape.Reason, 10)}
	c := New(Options{Registry: reg, Log: log, Stream: p, Database: p, Workers: workers, ChunkBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		c.Close()
		if err := errors.Join(reg.Close(), log.Close()); err != nil {
			t.Error(err)
		}
	})
	return p, c
}

func definition(t *testing.T, name string) *shape.Def { return definitionOf(t, 16400, name) }

func definitionOf(t *testing.T, table uint32, name string) *shape.Def {
	t.Helper()
	id := expr.Column{Name: "id", Type: expr.Type{OID: 23, Name: "int4", Base: 23}, Bytewise: true, Deterministic: true}
	def, err := shape.BuildDef(&shape.Table{
		OID: table, Schema: "public", Name: name, Kind: 'r', Identity: 'f', PK: []int{0},
		Columns: []shape.Column{{Column: id, Num: 1, TypMod: -1, SchemaType: "int4"}},
	}, shape.Params{})
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func ready(t *testing.T, sp *registry.Shape) {
	t.Helper()
	select {
	case <-sp.Ready():
	case <-time.After(10 * time.Second):
		t.Fatalf("nothing becomes of shape %s", sp.Handle())
	}
}

// A shape that waits without a limit and is removed gives its place to the next.
func TestRemovedWhileWaiting(t *testing.T) {
	waiting := make(chan struct{}, 1)
	calls := 0 // there is one worker
	p, c := newPlace(t, 1, func(ctx context.Context, _ pause) error {
		if calls++; calls > 1 {
			return nil
		}
		waiting <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	first, err := c.Create(definition(t, "first"))
	if err != nil {
		t.Fatal(err)
	}
	<-waiting
	if err := p.reg.Remove(first, shape.ReasonBudget); err != nil {
		t.Fatal(err)
	}
	ready(t, first)
	second, err := c.Create(definition(t, "second"))
	if err != nil {
		t.Fatal(err)
	}
	ready(t, second)
	if err := second.SnapshotErr(); err != nil {
		t.Error(err)
	}
}

// A panic is the end of the shape it is about.
func TestPanicOverRows(t *testing.T) {
	p, c := newPlace(t, 1, func(context.Context, pause) error { panic("a row like no other") })
	sp, err := c.Create(definition(t, "first"))
	if err != nil {
		t.Fatal(err)
	}
	ready(t, sp)
	if sp.SnapshotErr() == nil {
		t.Error("the shape did not fail")
	}
	if reason := <-p.removed; reason != shape.ReasonSnapshot {
		t.Errorf("removed because of %q", reason)
	}
}

// A shape that waits for writers does not hold up those of other tables.
func TestWaitingLetsOthersGo(t *testing.T) {
	waiting, over := make(chan struct{}, 1), make(chan struct{})
	calls := 0 // there is one worker
	_, c := newPlace(t, 1, func(ctx context.Context, pause pause) error {
		if calls++; calls > 1 {
			return nil
		}
		waiting <- struct{}{}
		for {
			if err := pause(ctx, time.Millisecond); err != nil {
				return err
			}
			select {
			case <-over:
				return nil
			default:
			}
		}
	})
	first, err := c.Create(definition(t, "first"))
	if err != nil {
		t.Fatal(err)
	}
	<-waiting
	second, err := c.Create(definition(t, "second"))
	if err != nil {
		t.Fatal(err)
	}
	ready(t, second)
	close(over)
	ready(t, first)
	for _, sp := range []*registry.Shape{first, second} {
		if err := sp.SnapshotErr(); err != nil {
			t.Error(err)
		}
	}
}

// A table that is locked takes no more than its share of the workers.
func TestLockedTableLetsOthersGo(t *testing.T) {
	const workers, locked = 4, 16400
	unlocked, entered := make(chan struct{}), make(chan struct{}, 6)
	p, c := newPlace(t, workers, func(context.Context, pause) error { return nil })
	unlock := sync.OnceFunc(func() { close(unlocked) })
	t.Cleanup(unlock)
	p.publish = func(t *shape.Table) {
		if t.OID == locked {
			entered <- struct{}{}
			<-unlocked
		}
	}
	var waiting []*registry.Shape
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		sp, err := c.Create(definitionOf(t, locked, name))
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, sp)
	}
	for range workers - 1 {
		<-entered
	}
	for len(c.Waiting()) < len(waiting) {
		runtime.Gosched()
	}
	other, err := c.Create(definitionOf(t, 16401, "other"))
	if err != nil {
		t.Fatal(err)
	}
	ready(t, other)
	if len(entered) > 0 {
		t.Error("the locked table has taken all workers")
	}
	unlock()
	for _, sp := range append(waiting, other) {
		ready(t, sp)
		if err := sp.SnapshotErr(); err != nil {
			t.Error(err)
		}
	}
}
