package consume

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// BenchmarkRow is one row of six columns through one consumer.
func BenchmarkRow(b *testing.B) {
	for name, change := range map[string]func(ch *wal.Change){
		"insert": func(ch *wal.Change) { ch.Op, ch.Old = wal.Insert, nil },
		"update": func(ch *wal.Change) {},
		"delete": func(ch *wal.Change) { ch.Op, ch.New = wal.Delete, nil },
	} {
		for mode, replica := range map[string]shape.Replica{"default": 0, "full": shape.ReplicaFull} {
			b.Run(name+"/"+mode, func(b *testing.B) {
				f, tab := newFeed(b)
				var enc Encoders
				c := New(newDef(tab, nil, replica), start, 10<<20, nil)
				c.Share(&enc)
				tx := wal.Txn{Commit: 100, XID: 7}
				ch := wal.Change{Op: wal.Update, Rel: f.rel, Old: f.before, New: f.after}
				change(&ch)
				b.ReportAllocs()
				for b.Loop() {
					if err := c.Change(&tx, &ch, &f.out); err != nil {
						b.Fatal(err)
					}
					ch.Seq += 2
					f.out.Reset()
				}
			})
		}
	}
}

// BenchmarkSharedRow is one row through each of many consumers that agree.
func BenchmarkSharedRow(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f, tab := newFeed(b)
			var enc Encoders
			consumers := make([]*Consumer, n)
			for i := range consumers {
				consumers[i] = New(newDef(tab, nil, 0), start, 10<<20, nil)
				consumers[i].Share(&enc)
			}
			b.ReportAllocs()
			for b.Loop() {
				f.run(b, 1, consumers...)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/entry")
		})
	}
}

func BenchmarkSnapshotRow(b *testing.B) {
	tab, _, row := ferries(b)
	d, buf := newDef(tab, nil, 0), make([]byte, 0, 1000)
	for b.Loop() {
		buf = AppendInsertRow(buf[:0], d, row)
	}
	b.SetBytes(int64(len(buf)))
}

// BenchmarkYardstick is the message of an insert by encoding/json.
func BenchmarkYardstick(b *testing.B) {
	tab, _, row := ferries(b)
	b.ReportAllocs()
	for b.Loop() {
		value := map[string]any{}
		for i, v := range row {
			value[tab.Columns[i].Name] = nil
			if v != nil {
				value[tab.Columns[i].Name] = string(v)
			}
		}
		if _, err := json.Marshal(map[string]any{
			"key": string(shape.AppendKey(nil, tab, row)), "value": value,
			"headers": map[string]any{
				"operation": "insert", "relation": []string{tab.Schema, tab.Name},
				"txids": []int{7}, "lsn": "100", "op_position": 0,
			},
		}); err != nil {
			b.Fatal(err)
		}
	}
}
