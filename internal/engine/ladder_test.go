package engine

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/sim"
	"github.com/spillway-sync/spillway/internal/snapshot"
	"github.com/spillway-sync/spillway/internal/wal"
)

// still is a stream in which nothing happens.
type still struct{ reg *registry.Registry }

func (s still) Routed() wal.LSN                                      { return 1 }
func (s still) Pin(context.Context, shape.ID) error                  { return nil }
func (s still) Join(context.Context, *registry.Shape, wal.LSN) error { return nil }

func (s still) Remove(sp *registry.Shape, reason shape.Reason, _ string) {
	_ = s.reg.Remove(sp, reason) // of the tests none fails
}

// A shape that was built anew, and does well for long enough, has the same patience
// as any other: without a restart in between.
func TestRebuiltIsForgiven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs, table := vfs.NewMem(), sim.NewTable(16400, "t", []int{0}, "i")
		log, err := shapelog.Open(shapelog.Options{FS: fs, Dir: "data"})
		if err != nil {
			t.Fatal(err)
		}
		reg, err := registry.Open(registry.Options{FS: fs, Dir: "data/catalogue", Log: log})
		if err != nil {
			t.Fatal(err)
		}
		e := &Engine{log: slog.New(slog.DiscardHandler), registry: reg, health: HealthActive, removed: make(map[shape.Reason]int64)}
		e.creator = snapshot.New(snapshot.Options{
			Registry: reg, Log: log, Stream: still{reg}, Database: &sim.Database{PG: sim.NewPostgres(table)},
			Workers: 1, ChunkBytes: 1 << 20, Logger: e.log,
		})
		e.ward = newWard(e)
		ctx, stop := context.WithCancel(t.Context())
		go e.ward.run(ctx)
		defer func() {
			stop()
			synctest.Wait()
			e.creator.Close()
			if err := errors.Join(reg.Close(), log.Close()); err != nil {
				t.Error(err)
			}
		}()

		def, err := shape.BuildDef(table, shape.Params{})
		if err != nil {
			t.Fatal(err)
		}
		old, err := e.creator.Create(def)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := e.quarantine(old, shape.ReasonStalled, "it hangs"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		heir := reg.Find(def.Key())
		if heir == nil || heir == old || heir.State() != registry.Live || heir.Failures() != 1 {
			t.Fatalf("not built anew: %+v", heir)
		}
		time.Sleep(forgiveAfter)
		if n := heir.Failures(); n != 0 {
			t.Errorf("%d failures are still held against it", n)
		}
	})
}
