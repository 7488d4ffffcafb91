package ingest_test

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/sim"
)

// cpu is the CPU time of this process so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCrowd is the CPU time of a transaction of one row, from Postgres's model to the shape's
// log, beside none or many other shapes `i = k` on the table.
func BenchmarkCrowd(b *testing.B) {
	for _, shapes := range []int{1, 1_000, 100_000} {
		b.Run(strconv.Itoa(shapes), func(b *testing.B) {
			pg := sim.NewPostgres(sim.NewTable(100, "items", []int{0}, "i", "t"))
			items := pg.Table(0)
			e, err := sim.Start(sim.Config{Disk: sim.NewDisk(), Database: &sim.Database{PG: pg}, Shards: 2, Grace: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := e.Stop(); err != nil {
					b.Error(err)
				}
			}()
			e.Connect(1, false)
			for k := range shapes {
				def, err := shape.BuildDef(items.Def, shape.Params{Where: fmt.Sprintf("i = %d", k)})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := e.Creator.Create(def); err != nil {
					b.Fatal(err)
				}
				for k%100 == 99 && e.Registry.Counts().Live <= k-200 {
					time.Sleep(time.Millisecond)
				}
			}
			for e.Registry.Counts().Live < shapes {
				time.Sleep(time.Millisecond)
			}
			const batch = 1000
			changes := 0
			before := cpu(b)
			for b.Loop() {
				for range batch {
					tx := pg.Begin()
					if err := tx.Put(items, row(0, "x")); err != nil {
						b.Fatal(err)
					}
					tx.Finish()
				}
				changes += batch
				for end := pg.End(); e.Ingest.Status().Applied+1 < end; {
					time.Sleep(100 * time.Microsecond)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(changes), "cpu-ns/change")
		})
	}
}
