package ingest_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/sim"
	"github.com/spillway-sync/spillway/internal/wal"
)

// A new shape whose snapshot takes so long that it has to replay a long way by
// itself, with a consumer that fails there.
func TestJoinFromFarBehind(t *testing.T) {
	for _, tc := range []struct {
		name   string
		times  int32
		panics bool
	}{{"well", 0, false}, {"blocked once", 1, false}, {"blocked always", 1 << 30, false}, {"panic once", 1, true}, {"panic always", 1 << 30, true}} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, 1, func(r *rig) {
				r.put("x", 0, 5)
				_, first := r.follow("i > 3")
				r.pg.Scale(1 << 20)
				pauses, faults := 0, atomic.Int32{}
				r.conf.Database.Pause = func() {
					if pauses++; pauses == 4 { // the snapshot is taken, the join comes
						r.put("y", 0, 10)
						r.put("z", 5, 15)
						time.Sleep(time.Second)
					}
				}
				release := make(chan struct{})
				r.apply(func(id shape.ID, _ *wal.Change) {
					switch {
					case id != 2 || faults.Add(1) > tc.times:
					case tc.panics:
						panic(errBoom)
					default:
						<-release
					}
				})
				reader := new(sim.Reader)
				reader.Follow(r.create(""))
				if tc.times < 3 {
					r.settle(first, reader)
				} else if reason := r.gone(reader); reason != shape.ReasonStalled {
					r.Errorf("gone for %q", reason)
				}
				if st := r.engine.Ingest.Status(); st.StallsTotal != int(min(3, tc.times)) {
					r.Errorf("%+v", st)
				}
				close(release)
				r.put("after", 0, 3)
				r.settle(first)
				r.released()
				r.until("ghosts to end", func() bool { return len(r.engine.Ingest.Status().Ghosts) == 0 })
			})
		})
	}
}
