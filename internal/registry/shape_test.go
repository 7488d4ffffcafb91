package registry

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

func TestRemoveWakesAll(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	s := create(t, h, where(t, ""), 5)
	changed, ready := s.Changed(), s.Ready()
	var wg sync.WaitGroup
	for range 5 { // together: one tombstone
		wg.Go(func() {
			if err := h.Remove(s, shape.ReasonDeleted); err != nil {
				t.Error(err)
			}
		})
	}
	<-changed
	<-ready
	wg.Wait()
	<-s.Changed()
	if reason, gone := s.Removed(); !gone || reason != shape.ReasonDeleted {
		t.Errorf("removed: %q %v", reason, gone)
	}
	if err := s.SnapshotErr(); !errors.Is(err, ErrRemoved) {
		t.Errorf("snapshot error %v", err)
	}
	if _, err := s.ReadLog(wal.AfterSnapshot, nil, math.MaxInt); !errors.Is(err, ErrRemoved) {
		t.Errorf("read: %v", err)
	}
	if h.Find(s.Key()) != nil || h.ByHandle(s.Handle()) != nil || h.ByID(s.ID()) != nil || h.Len() != 0 {
		t.Error("it is still found")
	}
	if c := h.Counts(); c != (Counts{Tombstones: 1}) {
		t.Errorf("counts %+v", c)
	}
	check(t, h.Remove(s, shape.ReasonSchema))
	again, created, err := h.Create(where(t, ""), 6)
	if err != nil || !created || again.Handle() == s.Handle() {
		t.Errorf("created again: %v %v", created, err)
	}
}

func TestRemoveDuringSnapshot(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	s := create(t, h, where(t, ""), 5)
	snap := h.log.NewSnapshot(s.ID(), 1<<20)
	check(t, s.SetSnapshot(sees, snap))
	check(t, snap.Append(make([]byte, 100_000)))
	ended := make(chan error)
	go func() {
		_, err := snap.Chunk(0).WriteTo(t.Context(), &bytes.Buffer{}, nil)
		ended <- err
	}()
	check(t, h.Remove(s, shape.ReasonDeleted))
	if err := <-ended; !errors.Is(err, ErrRemoved) {
		t.Errorf("reader: %v", err)
	}
	if err := snap.Append([]byte("x")); !errors.Is(err, ErrRemoved) {
		t.Errorf("writer: %v", err)
	}
}

// First rows are asked for while the tombstone that has taken their place is being made
// durable: nobody has been told yet, but it is no fault of the catalogue.
func TestFirstRowsOfOneThatGoes(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	s := create(t, h, where(t, ""), 5)
	live(t, h, s, 1000)
	check(t, h.storeTombstone(s, shape.ReasonDeleted)) // the first half of Remove
	if _, gone := s.Removed(); gone {
		t.Fatal("it is told already")
	}
	if _, err := s.Snapshot(); !errors.Is(err, ErrRemoved) {
		t.Error(err)
	}
}

// Rows that are missing without a tombstone are a fault.
func TestFirstRowsLost(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	s := create(t, h, where(t, ""), 5)
	live(t, h, s, 1000)
	check(t, h.db.Delete(key(kindRows, uint64(s.ID())), pebble.Sync))
	if _, err := s.Snapshot(); !errors.Is(err, pebble.ErrNotFound) || errors.Is(err, ErrRemoved) {
		t.Error(err)
	}
}

var errBoom = errors.New("boom")

func TestFail(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	s := create(t, h, where(t, ""), 5)
	if _, err := s.Snapshot(); err == nil {
		t.Error("first rows before there are any")
	}
	ready := s.Ready()
	s.Fail(errBoom)
	s.Fail(errors.New("later"))
	<-ready
	if err := s.SnapshotErr(); !errors.Is(err, errBoom) {
		t.Error(err)
	}
	if _, err := s.Snapshot(); !errors.Is(err, errBoom) {
		t.Error(err)
	}
	if err := s.SetSnapshot(sees, nil); err == nil {
		t.Error("a failed shape takes a snapshot")
	}
	check(t, h.Remove(s, shape.ReasonSnapshot))
	if err := s.SnapshotErr(); !errors.Is(err, errBoom) {
		t.Errorf("after the removal: %v", err)
	}
}

func TestPublish(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	s := create(t, h, where(t, ""), 5)
	write := func(off wal.Offset, json string, boundary bool) {
		t.Helper()
		b := h.log.NewBatch()
		check(t, b.Append(s.ID(), shapelog.Entry{Offset: off, JSON: []byte(json), Boundary: boundary}))
		check(t, b.Commit())
	}
	read := func(after wal.Offset, body string, end wal.Offset, upToDate bool) {
		t.Helper()
		p, err := s.ReadLog(after, []byte("["), math.MaxInt)
		check(t, err)
		if string(p.Body) != "["+body || p.End != end || p.UpToDate != upToDate {
			t.Fatalf("after %v: %s, end %v, up to date %v; want %s, %v, %v", after, p.Body, p.End, p.UpToDate, body, end, upToDate)
		}
	}
	var none wal.Offset
	read(none, "", wal.AfterSnapshot, true)
	read(wal.AfterSnapshot, "", wal.AfterSnapshot, true)
	changed := s.Changed()
	one, two, three := wal.Offset{Tx: 10}, wal.Offset{Tx: 10, Op: 2}, wal.Offset{Tx: 20}
	write(one, "1", true)
	write(two, "2", false)
	write(three, "3", true)
	read(none, "", wal.AfterSnapshot, true) // not published
	select {
	case <-changed:
		t.Fatal("woken without a new tail")
	default:
	}
	s.Publish(two, 10)
	<-changed
	changed = s.Changed()
	read(none, "1", one, false)
	read(one, "2", two, true)
	read(two, "", two, true)
	read(three, "", three, false) // beyond the tail
	s.Publish(one, 5)             // late and low
	if s.Tail() != two || s.Seen() != 10 {
		t.Fatalf("tail %v, seen %v", s.Tail(), s.Seen())
	}
	select {
	case <-changed:
		t.Fatal("woken by a lower tail")
	default:
	}
	s.Publish(three, 20)
	<-changed
	read(wal.Offset{Tx: 10, Op: 1}, "2,3", three, true) // ends with the chunk, and is the tail

	entries := func(after, upTo wal.Offset, most int) string {
		t.Helper()
		var got []string
		end, err := s.ReadEntries(after, upTo, func(json []byte) bool {
			got = append(got, string(json))
			return len(got) < most
		})
		check(t, err)
		return strings.Join(got, ",") + " end " + end.String()
	}
	for got, want := range map[string]string{
		entries(none, three, 9):                        "1,2,3 end 20_0", // across chunks
		entries(none, two, 9):                          "1,2 end 10_2",
		entries(none, three, 1):                        "1 end 10_0",
		entries(wal.Offset{Tx: 10, Op: 1}, three, 1):   "2 end 10_2",
		entries(three, three, 9):                       " end 20_0",
		entries(wal.Offset{Tx: 20, Op: 4}, three, 9):   " end 20_4",
		entries(none, wal.AfterSnapshot, 9):            " end 0_inf",
		entries(wal.Offset{Tx: 10, Op: 2}, three, 100): "3 end 20_0",
	} {
		if got != want {
			t.Errorf("entries: %s, want %s", got, want)
		}
	}

	s.Publish(wal.Offset{Tx: 30}, 30) // nothing was written
	if _, err := s.ReadEntries(three, s.Tail(), func([]byte) bool { return true }); err == nil {
		t.Error("a hole is not noticed entry by entry")
	}
	if _, err := s.ReadLog(three, nil, math.MaxInt); err == nil {
		t.Error("a hole is not noticed")
	}
}

func TestSeen(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	s := create(t, h, where(t, ""), 5)
	if s.Seen() != 0 {
		t.Fatal(s.Seen())
	}
	var p Progress
	s.SetProgress(&p)
	if s.Seen() != 0 {
		t.Fatal(s.Seen())
	}
	p.Advance(100)
	p.Advance(90)
	if s.Seen() != 99 {
		t.Fatal(s.Seen())
	}
	s.Publish(wal.Offset{Tx: 110}, 110)
	if s.Seen() != 110 {
		t.Fatal(s.Seen())
	}
	p.Advance(120)
	if s.Seen() != 119 {
		t.Fatal(s.Seen())
	}
}

// What a change touches of a shape is in the first two lines of a cache, of an object
// that begins with one: the sizes of objects that Go has are 256 and then 288.
func TestShapeLayout(t *testing.T) {
	var s Shape
	if hot, all := unsafe.Offsetof(s.progress), unsafe.Sizeof(s); hot > 128 || all > 256 {
		t.Errorf("%d bytes, of them %d that a change touches", all, hot)
	}
}

// Nobody knows what the first rows contain before they are read; who asked then knows it
// for good, also when the shape goes.
func TestSees(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer func() { h.close(t) }()
	failed := create(t, h, where(t, ""), 5)
	failed.Fail(errBoom)
	if failed.Sees() != nil {
		t.Error("first rows that were never read contain something")
	}
	s := create(t, h, where(t, "id = 1"), 5)
	if s.Sees() != nil {
		t.Error("known before they are read")
	}
	check(t, s.SetSnapshot(sees, h.log.NewSnapshot(s.ID(), 1000)))
	known := s.Sees()
	if known == nil || !reflect.DeepEqual(*known, sees) {
		t.Fatalf("%+v, want %+v", known, sees)
	}
	if s.SetSnapshot(wal.Snapshot{Xmin: 1}, nil) == nil || s.Sees() != known {
		t.Error("known twice")
	}
	check(t, h.Remove(s, shape.ReasonDeleted))
	if s.Sees() != known || !reflect.DeepEqual(*known, sees) {
		t.Errorf("%+v of a removed one", s.Sees())
	}
	s = create(t, h, where(t, "id = 2"), 5)
	live(t, h, s, 10)
	h = h.reopen(t)
	if s := h.Find(s.Key()); s == nil || !reflect.DeepEqual(*s.Sees(), sees) {
		t.Error("something else after a start")
	}
}

// A shape has a definition of its own, which the caller's does not change.
func TestDefIsTheShapes(t *testing.T) {
	h := open(t, vfs.NewMem())
	defer h.close(t)
	asked := where(t, "id = 1")
	s := create(t, h, asked, 5)
	def, key := s.Def(), s.Key()
	asked.Replica, asked.Where = shape.ReplicaFull, nil
	if s.Key() != key || s.Def() != def || def.Key() != key {
		t.Errorf("it became %s, was %s", s.Key(), key)
	}
}

// idleShapeBudget is what a shape may cost, its clause aside: bytes.
// Measured 2026-11-28: see the log of the test.
const idleShapeBudget = 350

func TestIdleShapeBudget(t *testing.T) {
	const n = 100_000
	h := open(t, vfs.NewMem())
	defer h.close(t)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	l := &loading{r: h.Registry}
	defs := make([]*shape.Def, n)
	version := h.tables.add(&table{t: boats(), encoded: "boats"})
	for i := range defs {
		defs[i] = nth(t, i)
		defs[i].Table = version.t
	}
	rec := shapeRecord{Start: 1, Created: time.Now().UnixMicro()}
	before := heap()
	for i, d := range defs {
		rec.Handle = shape.Handle(appendHandle(nil, shape.ID(i+1), rec.Created, newRandom()))
		l.add(shape.ID(i+1), &rec, &liveRecord{Xmin: 1, Xmax: 1, Until: 1}, d)
	}
	check(t, l.order())
	each := (heap() - before) / n
	t.Logf("%d bytes a shape", each)
	if each > idleShapeBudget {
		t.Errorf("%d bytes a shape, budget %d", each, idleShapeBudget)
	}
	runtime.KeepAlive(defs)
	if got := slices.Collect(h.All()); len(got) != n || got[0].ID() != 1 || got[n-1].ID() != n {
		t.Errorf("%d shapes listed", len(got))
	}
}
