package registry

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

func TestCrash(t *testing.T) {
	for _, size := range []int{0, 1000, 200_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			h := open(t, vfs.NewCrashableMem())
			d := where(t, "crew > 3")
			d.Columns, d.AllColumns = []int{0, 2}, false
			d.Replica, d.Log = shape.ReplicaFull, shape.LogChangesOnly
			a := create(t, h, d, 1234)
			live(t, h, a, size)
			rows := firstRows(t, a)
			b := create(t, h, where(t, ""), 5)
			check(t, h.SetFact("slot", []byte("spillway"), true))
			tail := wal.Offset{Tx: 2000, Op: 4}
			batch := h.log.NewBatch()
			check(t, batch.Append(a.ID(), shapelog.Entry{Offset: tail, JSON: []byte("x")}))
			check(t, batch.SetCursor(a.ID(), 3, shape.Cursor{Pos: 2050, Tail: tail}))
			check(t, batch.SetCursor(b.ID(), 1, shape.Cursor{Pos: 2050, Tail: tail}))
			check(t, batch.Commit())
			check(t, h.log.Flush())

			for round := range 2 {
				if round == 0 {
					h = h.crash(t)
				} else {
					h = h.reopen(t)
				}
				got := h.ByHandle(a.Handle())
				if got == nil {
					t.Fatal("the live shape is gone")
				}
				if h.Find(a.Key()) != got || got.Key() != a.Key() || got.ID() != a.ID() || got.Start() != 1234 ||
					!got.Created().Equal(a.Created()) || got.State() != Live {
					t.Errorf("it came back as %+v", got)
				}
				sameDef(t, got.Def(), a.Def())
				if !reflect.DeepEqual(*got.Sees(), sees) {
					t.Errorf("its snapshot sees %+v", got.Sees())
				}
				if got.Tail() != tail || got.Seen() != 2049 {
					t.Errorf("tail %v, seen %v", got.Tail(), got.Seen())
				}
				if firstRows(t, got) != rows {
					t.Error("its first rows differ")
				}
				<-got.Ready()
				if h.ByHandle(b.Handle()) != nil || h.Len() != 1 {
					t.Error("the incomplete shape came back")
				}
				tomb, ok, err := h.Tombstone(b.Handle())
				if err != nil || !ok || tomb.Reason != shape.ReasonRestart {
					t.Errorf("its tombstone: %+v %v %v", tomb, ok, err)
				}
				if _, _, ok, err := h.log.Cursor(b.ID()); ok || err != nil {
					t.Errorf("its cursor is still there (%v)", err)
				}
				if v, ok := h.Fact("slot"); !ok || string(v) != "spillway" {
					t.Errorf("fact %q", v)
				}
				if c := h.Counts(); c != (Counts{Live: 1, Tombstones: 1}) {
					t.Errorf("counts %+v", c)
				}
			}
			h.close(t)
		})
	}
}

func sameDef(t *testing.T, got, want *shape.Def) {
	t.Helper()
	if got.Where.SQL() != want.Where.SQL() {
		t.Errorf("where clause %s, want %s", got.Where.SQL(), want.Where.SQL())
	}
	g, w := *got, *want
	g.Where, w.Where = nil, nil // it holds functions, which cannot be compared
	if !reflect.DeepEqual(g, w) {
		t.Errorf("definition %+v, want %+v", g, w)
	}
}

func TestCompletionAfterRemoval(t *testing.T) {
	h := open(t, vfs.NewCrashableMem())
	s := create(t, h, where(t, ""), 5)
	snap := h.log.NewSnapshot(s.ID(), 100)
	check(t, s.SetSnapshot(sees, snap))
	check(t, snap.Finish([]byte("end")))
	check(t, h.Remove(s, shape.ReasonTruncate))
	// As a completion does that looked just before.
	check(t, h.storeLive(s, &sees, 0, []byte{0}))
	if err := h.setLive(s, 0); !errors.Is(err, ErrRemoved) {
		t.Fatal(err)
	}
	if err := s.SnapshotComplete(); !errors.Is(err, ErrRemoved) {
		t.Fatal(err)
	}
	h = h.crash(t)
	defer h.close(t)
	if h.Len() != 0 {
		t.Fatal("it came back")
	}
	if tomb, ok, err := h.Tombstone(s.Handle()); err != nil || !ok || tomb.Reason != shape.ReasonTruncate {
		t.Fatalf("tombstone %+v %v %v", tomb, ok, err)
	}
	for _, kind := range []byte{kindLive, kindRows} {
		check(t, h.scan(kind, func(k, _ []byte) error { return fmt.Errorf("%q %x is left", kind, k) }))
	}
}

func TestFacts(t *testing.T) {
	h := open(t, vfs.NewCrashableMem())
	if _, ok := h.Fact("a"); ok {
		t.Error("a fact from nowhere")
	}
	check(t, h.SetFact("a", []byte("1"), true))
	check(t, h.SetFact("b", []byte{}, true))
	check(t, h.SetFact("c", []byte("3"), true))
	check(t, h.SetFact("a", nil, true))
	check(t, h.SetFact("c", []byte("4"), false))
	for range 2 {
		if v, ok := h.Fact("a"); ok {
			t.Errorf("a = %q", v)
		}
		if v, ok := h.Fact("b"); !ok || len(v) != 0 {
			t.Errorf("b = %q %v", v, ok)
		}
		if v, ok := h.Fact("c"); !ok || string(v) != "3" && string(v) != "4" {
			t.Errorf("c = %q %v", v, ok)
		}
		h = h.crash(t)
	}
	h.close(t)
}

func TestDefinitionThatCannotBeRead(t *testing.T) {
	h := open(t, vfs.NewMem())
	s := create(t, h, where(t, "crew > 3"), 5)
	live(t, h, s, 0)
	live(t, h, create(t, h, where(t, ""), 5), 0)
	var rec []byte
	check(t, h.scan(kindShape, func(_, v []byte) error {
		if rec == nil {
			rec = bytes.Replace(v, []byte(`"where":"`), []byte(`"where":"((`), 1)
		}
		return nil
	}))
	check(t, h.db.Set(key(kindShape, uint64(s.ID())), rec, nil))
	h = h.reopen(t)
	defer h.close(t)
	if h.Len() != 1 {
		t.Errorf("%d shapes", h.Len())
	}
	if tomb, ok, err := h.Tombstone(s.Handle()); err != nil || !ok || tomb.Reason != shape.ReasonEvaluation {
		t.Errorf("tombstone %+v %v %v", tomb, ok, err)
	}
}

func TestOtherFormatIsRefused(t *testing.T) {
	h := open(t, vfs.NewMem())
	check(t, h.db.Set([]byte{kindVersion}, []byte("3"), nil))
	check(t, h.Close())
	if _, err := Open(Options{FS: h.fs, Dir: "data/catalogue", Log: h.log}); err == nil || !strings.Contains(err.Error(), "format") {
		t.Errorf("opened a catalogue of another format: %v", err)
	}
	check(t, h.log.Close())
}

// A program of the older format would take the cursors in entries for messages.
func TestOlderFormatBecomesThePresentOne(t *testing.T) {
	h := open(t, vfs.NewMem())
	check(t, h.db.Set([]byte{kindVersion}, []byte(olderFormat), nil))
	h = h.reopen(t)
	defer h.close(t)
	if v, err := h.version(); v != formatVersion || err != nil {
		t.Errorf("version %q, %v", v, err)
	}
}

func TestTombstonesAreTrimmed(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer func() { h.close(t) }()
	s := create(t, h, where(t, ""), 1)
	check(t, h.Remove(s, shape.ReasonDeleted))
	const more = keepTombstones + keepTombstones/10
	b := h.db.NewBatch()
	for n := range uint64(more) {
		check(t, b.Set(key(kindTomb, n+10), []byte(`{}`), nil))
	}
	check(t, b.Commit(nil))
	h = h.reopen(t)
	if c := h.Counts(); c.Tombstones != keepTombstones {
		t.Fatalf("%+v", c)
	}
	h = h.reopen(t)
	if c := h.Counts(); c.Tombstones != keepTombstones {
		t.Fatalf("after reopening: %+v", c)
	}
	if _, ok, err := h.Tombstone(s.Handle()); ok || err != nil {
		t.Errorf("the oldest is still there: %v", err)
	}
	if s := create(t, h, where(t, ""), 1); s.ID() != more+10 {
		t.Errorf("next ID %d", s.ID())
	}
}

func TestTableRecordIsComplete(t *testing.T) {
	var table shape.Table
	n := 0
	fill(reflect.ValueOf(&table).Elem(), &n)
	encoded, err := encodeTable(&table)
	check(t, err)
	var rec tableRecord
	check(t, decode("table", encoded, &rec))
	if got := rec.table(); !reflect.DeepEqual(got, &table) {
		t.Errorf("got\n%+v\nwant\n%+v", got, &table)
	}
}

func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		if *n < 100 { // a type has one of its own
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.String:
		v.SetString(fmt.Sprintf("é%d", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(uint64(*n % 100))
	case reflect.Uint32:
		v.SetUint(uint64(*n))
	default:
		v.SetInt(int64(*n))
	}
}
