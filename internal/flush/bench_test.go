package flush

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	tracked = 300_000
	touched = 10_000
)

// scattered returns n of the tracked shapes, in no order.
func scattered(n int) []shape.ID {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]shape.ID, n)
	for i, k := range r.Perm(tracked)[:n] {
		all[i] = shape.ID(k)
	}
	return all
}

// all300k is a tracker to which every shape owes something, each handed to it
// by one of 1,000 transactions.
func all300k() (tr *Tracker, end wal.LSN) {
	tr = New(0)
	all := scattered(tracked)
	for len(all) > 0 {
		end += 100
		tr.Routed(end, all[:tracked/1000], time.Duration(end))
		all = all[tracked/1000:]
	}
	return tr, end
}

// A transaction that touches 10,000 shapes, all of which owe already.
func BenchmarkRoutedKnown(b *testing.B) {
	tr, end := all300k()
	some := scattered(touched)
	b.ReportAllocs()
	for b.Loop() {
		end += 100
		tr.Routed(end, some, time.Duration(end))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/touched, "ns/shape")
}

// The same where none of them owes: each gets an entry, and is then reported
// durable, beside 290,000 others.
func BenchmarkRoutedNewAndDurable(b *testing.B) {
	tr, end := all300k()
	some := scattered(touched)
	for _, id := range some {
		tr.Durable(id, 0, end, time.Duration(end))
	}
	b.ReportAllocs()
	for b.Loop() {
		end += 100
		tr.Routed(end, some, time.Duration(end))
		for _, id := range some {
			tr.Durable(id, 0, end, time.Duration(end))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/touched, "ns/shape")
}

// What a flush of the shape log settles: 10,000 shapes go on, none completes.
func BenchmarkDurableBatch(b *testing.B) {
	tr, end := all300k()
	some := scattered(touched)
	tr.Routed(1<<60, some, time.Duration(end))
	b.ReportAllocs()
	for b.Loop() {
		end += 100
		for _, id := range some {
			tr.Durable(id, 0, end, time.Duration(end))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/touched, "ns/shape")
}

// All 300,000 owe; only few of them have stalled.
func BenchmarkStalled(b *testing.B) {
	for _, n := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("of=%d", n), func(b *testing.B) {
			tr, end := all300k()
			var now time.Duration
			for id := shape.ID(n); id < tracked; id++ {
				now = time.Duration(end) + 100
				tr.Applied(id, 0, end, now)
			}
			var dst []Stall
			b.ReportAllocs()
			for b.Loop() {
				dst = tr.Stalled(now, 0, dst[:0])
			}
			if len(dst) != n {
				b.Fatalf("%d stalled, want %d", len(dst), n)
			}
		})
	}
}

// From nothing to 300,000 debts and back: growth and giving back included.
func BenchmarkFillAndDrain(b *testing.B) {
	all := scattered(tracked)
	tr := New(0)
	var end wal.LSN
	b.ReportAllocs()
	for b.Loop() {
		end += 100
		tr.Routed(end, all, time.Duration(end))
		for _, id := range all {
			tr.Durable(id, 0, end, time.Duration(end))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/tracked, "ns/shape")
}
