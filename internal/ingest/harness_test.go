package ingest_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/sim"
	"github.com/spillway-sync/spillway/internal/wal"
)

// rig is an engine over the model of Postgres, in a bubble of virtual time.
type rig struct {
	*testing.T
	pg     *sim.Postgres
	conf   sim.Config
	engine *sim.Engine
	items  *sim.Table
	// hook is what BeforeApply does.
	hook    atomic.Pointer[func(shape.ID, *wal.Change)]
	readers []*sim.Reader
}

const grace = 2 * time.Second

// bubble runs f on a rig with a table items (i primary key, t), and more tables.
func bubble(t *testing.T, shards int, f func(*rig), more ...*shape.Table) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pg := sim.NewPostgres(append([]*shape.Table{sim.NewTable(100, "items", []int{0}, "i", "t")}, more...)...)
		r := &rig{T: t, pg: pg, items: pg.Table(0)}
		r.conf = sim.Config{
			Disk: sim.NewDisk(), Database: &sim.Database{PG: pg}, Shards: shards, Grace: grace,
			BeforeApply: func(id shape.ID, ch *wal.Change) {
				if h := r.hook.Load(); h != nil {
					(*h)(id, ch)
				}
			},
		}
		r.start()
		defer func() {
			if err := r.engine.Stop(); err != nil {
				t.Error(err)
			}
		}()
		f(r)
	})
}

func (r *rig) start() {
	r.Helper()
	e, err := sim.Start(r.conf)
	if err != nil {
		r.Fatal(err)
	}
	r.engine = e
	e.Connect(1, false)
}

func (r *rig) apply(f func(shape.ID, *wal.Change)) { r.hook.Store(&f) }

// follow creates a shape and waits until a reader has its first rows.
func (r *rig) follow(where string) (*registry.Shape, *sim.Reader) {
	r.Helper()
	sp := r.create(where)
	reader := new(sim.Reader)
	reader.Follow(sp)
	r.readers = append(r.readers, reader)
	r.settle(reader)
	return sp, reader
}

func (r *rig) create(where string) *registry.Shape {
	r.Helper()
	return r.createOn(r.items, where)
}

func (r *rig) createOn(t *sim.Table, where string) *registry.Shape {
	r.Helper()
	def, err := shape.BuildDef(t.Def, shape.Params{Where: where})
	if err != nil {
		r.Fatal(err)
	}
	sp, err := r.engine.Creator.Create(def)
	if err != nil {
		r.Fatal(err)
	}
	return sp
}

// until waits for a condition, in virtual time.
func (r *rig) until(what string, f func() bool) {
	r.Helper()
	for range 3000 {
		if f() {
			return
		}
		select {
		case err := <-r.engine.Ended():
			r.Fatalf("waiting for %s: the ingest ended: %v", what, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	r.Fatalf("waited in vain for %s; %+v", what, r.engine.Ingest.Status())
}

// settle waits until readers have seen all there is, and checks them.
func (r *rig) settle(readers ...*sim.Reader) {
	r.Helper()
	end := r.pg.End()
	for n, reader := range readers {
		r.until(fmt.Sprintf("reader %d to come to %s", n, end), func() bool {
			ok, err := reader.Poll(r.engine.Registry)
			if err != nil {
				r.Fatal(err)
			}
			return ok && reader.Seen+1 >= end
		})
		if _, err := reader.Check(r.pg); err != nil {
			r.Fatal(err)
		}
	}
}

// gone waits until a reader's handle has ended and says why.
func (r *rig) gone(reader *sim.Reader) shape.Reason {
	r.Helper()
	r.until("a rotation", func() bool {
		_, err := reader.Poll(r.engine.Registry)
		return err != nil
	})
	return reader.Gone
}

// put commits a transaction with rows from..to−1.
func (r *rig) put(text string, from, to int) {
	r.Helper()
	tx := r.pg.Begin()
	r.write(tx, text, from, to)
	tx.Finish()
}

func (r *rig) write(tx *sim.Tx, text string, from, to int) {
	r.Helper()
	r.writeTo(tx, r.items, text, from, to)
}

func (r *rig) writeTo(tx *sim.Tx, t *sim.Table, text string, from, to int) {
	r.Helper()
	for i := from; i < to; i++ {
		if err := tx.Put(t, row(i, text)); err != nil {
			r.Fatal(err)
		}
	}
}

func row(i int, text string) wal.Tuple { return wal.Tuple{fmt.Append(nil, i), []byte(text)} }

// released waits until nothing holds the journal any more.
func (r *rig) released() {
	r.Helper()
	r.until("the boundary to come to the end", func() bool {
		st := r.engine.Ingest.Status()
		return st.Boundary >= r.pg.End() && !st.Held
	})
}

// restart stops the engine in order, or crashes it and loses what was not synced.
func (r *rig) restart(crash bool) {
	r.Helper()
	boundary := r.engine.Ingest.Boundary()
	if !crash {
		if err := r.engine.Stop(); err != nil {
			r.Fatal(err)
		}
	} else {
		disk, err := r.engine.Crash(0, nil)
		if err != nil {
			r.Fatal(err)
		}
		r.conf.Disk = disk
	}
	e, err := sim.Open(r.conf)
	if err != nil {
		r.Fatal(err)
	}
	if err := e.Durable(r.pg, boundary); err != nil {
		r.Error(err)
	}
	r.engine = e
	e.Run()
	e.Connect(1, false)
	<-r.engine.Ingest.CaughtUp()
}

func (r *rig) reread(readers ...*sim.Reader) {
	r.Helper()
	for _, reader := range readers {
		if err := reader.Reread(r.engine.Registry); err != nil {
			r.Error(err)
		}
	}
}

var errBoom = errors.New("boom")

// half ends the session and puts the first half of a transaction into the
// journal. It returns the frame with the other half.
func (r *rig) half() wal.Frame {
	r.Helper()
	r.engine.Disconnect()
	tx := r.pg.Begin()
	r.write(tx, "half", 0, 10)
	tx.Finish()
	frames := tx.Frames(7)
	r.offer(frames[:2]...)
	time.Sleep(time.Second)
	return frames[2]
}

// offer puts frames into the journal.
func (r *rig) offer(frames ...wal.Frame) {
	r.Helper()
	for _, f := range frames {
		if !r.engine.Journal.Offer(f) {
			r.Fatal("the journal is full")
		}
	}
}
