package chaos

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

func faults() *Faults {
	table := &shape.Table{Schema: "public", Name: "items", PK: []int{0}, Columns: make([]shape.Column, 2)}
	table.Columns[0].Name, table.Columns[1].Name = "id", "body"
	return New(Options{
		Find: func(h shape.Handle) (Target, bool) {
			return Target{ID: 7, Def: &shape.Def{Table: table}}, h == "h"
		},
		Key: func(id shape.ID) string {
			if id == 9 {
				return (&shape.Def{Table: table}).Key()
			}
			return ""
		},
		Drip:   time.Minute,
		Logger: slog.New(slog.DiscardHandler),
	})
}

func insert(id string) *wal.Change {
	rel := &wal.Relation{Schema: "public", Name: "items", Columns: []wal.RelationColumn{{Name: "id"}, {Name: "body"}}}
	return &wal.Change{Op: wal.Insert, Rel: rel, New: wal.Tuple{[]byte(id), nil}}
}

func begin(t *testing.T, c *Faults, req Request) Active {
	t.Helper()
	f, err := c.Begin(req)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A fault follows those that take its shape's place if it is told so.
func TestHeirs(t *testing.T) {
	for _, heirs := range []bool{false, true} {
		c := faults()
		begin(t, c, Request{Fault: PanicRow, Shape: "h", Key: `"public"."items"/"1"`, Heirs: heirs})
		for id, want := range map[shape.ID]bool{7: true, 8: false, 9: heirs} {
			if got := panics(func() { c.BeforeApply(id, insert("1")) }); got != want {
				t.Errorf("heirs %v: shape %d is struck: %v", heirs, id, got)
			}
		}
	}
}

// Each refusal names the field and what to do.
func TestRefusals(t *testing.T) {
	c := faults()
	for want, req := range map[string]Request{
		`fault: "" is none: use one of block, spin`: {},
		`fault: "fire"`:                          {Fault: "fire"},
		"shape: block is a fault of one shape":   {Fault: Block},
		`shape: no shape has the handle "x"`:     {Fault: Block, Shape: "x"},
		"shape: journal-full hits every shape":   {Fault: JournalFull, Shape: "h"},
		"key: only panic-row has one":            {Fault: Spin, Shape: "h", Key: "k"},
		`key: "" is not a row of this shape`:     {Fault: PanicRow, Shape: "h"},
		`beginning with "public"."items"/`:       {Fault: PanicRow, Shape: "h", Key: `"public"."others"/"1"`},
		`for: "soon" is not a time`:              {Fault: JournalFull, For: "soon"},
		`for: "-1s" is not a time`:               {Fault: JournalFull, For: "-1s"},
		"times: -1 is not a number":              {Fault: Block, Shape: "h", Times: -1},
		"heirs: journal-full hits every shape":   {Fault: JournalFull, Heirs: true},
		"times: only block, spin, panic can be ": {Fault: Drip, Shape: "h", Times: 1},
	} {
		if _, err := c.Begin(req); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", req, err, want)
		}
	}
	if l := c.List(); len(l) != 0 {
		t.Errorf("on: %v", l)
	}
}

// Who is held goes on when the fault is lifted or its time is over; others are
// not held at all.
func TestHeld(t *testing.T) {
	for _, kind := range []Kind{Block, Drip} {
		synctest.Test(t, func(t *testing.T) {
			c := faults()
			f := begin(t, c, Request{Fault: kind, Shape: "h", For: "30s"})
			start := time.Now()
			c.BeforeApply(8, insert("1"))
			if d := time.Since(start); d != 0 {
				t.Errorf("%s: another shape is held for %s", kind, d)
			}
			c.BeforeApply(7, insert("1"))
			if d := time.Since(start); d != 30*time.Second || !f.Until.Equal(time.Now()) {
				t.Errorf("%s: held for %s, until %s", kind, d, f.Until)
			}
			synctest.Wait()
			if l := c.List(); len(l) != 0 {
				t.Errorf("%s: still on: %v", kind, l)
			}
			f = begin(t, c, Request{Fault: kind, Shape: "h"})
			time.AfterFunc(time.Second, func() {
				if got, ok := c.Lift(f.ID); !ok || got.Hits != 1 {
					t.Errorf("%s: lifted %+v, %v", kind, got, ok)
				}
			})
			start = time.Now()
			c.BeforeApply(7, insert("1"))
			if d := time.Since(start); d != time.Second {
				t.Errorf("%s: held for %s", kind, d)
			}
			if _, ok := c.Lift(f.ID); ok {
				t.Errorf("%s: lifted twice", kind)
			}
		})
	}
}

func TestSpinIsLifted(t *testing.T) {
	c := faults()
	begin(t, c, Request{Fault: Spin, Shape: "h", For: "20ms"})
	c.BeforeApply(7, insert("1"))
	begin(t, c, Request{Fault: Flood, Shape: "h", For: "1s"})
	c.BeforeApply(7, insert("1"))
}

// Whom a counted fault has struck stays struck; the next passes.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := faults()
		f := begin(t, c, Request{Fault: Block, Shape: "h", Times: 1})
		held := make(chan struct{})
		go func() {
			c.BeforeApply(7, insert("1"))
			close(held)
		}()
		synctest.Wait()
		c.BeforeApply(7, insert("1"))
		select {
		case <-held:
			t.Error("it was not held")
		default:
		}
		c.Lift(f.ID)
		<-held
	})
}

func panics(f func()) (is bool) {
	defer func() { is = recover() != nil }()
	f()
	return
}

func TestPanics(t *testing.T) {
	c := faults()
	begin(t, c, Request{Fault: Panic, Shape: "h"})
	for n, want := range []bool{true, false} {
		if panics(func() { c.BeforeApply(7, insert("1")) }) != want {
			t.Errorf("call %d: panics: %v", n, !want)
		}
	}
	begin(t, c, Request{Fault: PanicRow, Shape: "h", Key: `"public"."items"/"2"`})
	moved := insert("3")
	moved.Op, moved.Old = wal.Update, wal.Tuple{[]byte("2"), nil}
	for n, want := range map[*wal.Change]bool{insert("1"): false, insert("2"): true, moved: true} {
		if panics(func() { c.BeforeApply(7, n) }) != want {
			t.Errorf("%s of %s: panics: %v", n.Op, n.New[0], !want)
		}
	}
	if l := c.List(); len(l) != 1 || l[0].Hits != 2 {
		t.Errorf("on: %+v", l)
	}
}

// A query that hangs ends with its context, and passes when the fault does.
func TestSnapshotHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := faults()
		begin(t, c, Request{Fault: SnapshotHang, For: "1m"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.BeforeSnapshot(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a deadline: %v", err)
		}
		if err := c.BeforeSnapshot(t.Context()); err != nil {
			t.Errorf("after its time: %v", err)
		}
	})
	var off *Faults
	if err := off.BeforeSnapshot(t.Context()); err != nil {
		t.Errorf("off: %v", err)
	}
}

func TestDisk(t *testing.T) {
	c := faults()
	fs := c.FS(vfs.NewMem())
	f, err := fs.OpenReadWrite("f", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := fs.OpenDir("")
	if err != nil {
		t.Fatal(err)
	}
	writes := map[string]func() error{
		"write at": func() error { _, err := f.WriteAt([]byte("x"), 0); return err },
		"create":   func() error { _, err := fs.Create("g", vfs.WriteCategoryUnspecified); return err },
		"open":     func() error { _, err := fs.OpenReadWrite("h", vfs.WriteCategoryUnspecified); return err },
	}
	syncs := map[string]func() error{"sync": f.Sync, "sync data": f.SyncData, "sync directory": dir.Sync}
	for _, tt := range []struct {
		kind  Kind
		fail  map[string]func() error
		pass  map[string]func() error
		error error
	}{
		{JournalFull, writes, syncs, syscall.ENOSPC},
		{FsyncError, syncs, writes, syscall.EIO},
	} {
		on := begin(t, c, Request{Fault: tt.kind})
		for name, op := range tt.fail {
			if err := op(); !errors.Is(err, tt.error) {
				t.Errorf("%s: %s: %v", tt.kind, name, err)
			}
		}
		for name, op := range tt.pass {
			if err := op(); err != nil {
				t.Errorf("%s: %s: %v", tt.kind, name, err)
			}
		}
		c.Lift(on.ID)
		for name, op := range tt.fail {
			if err := op(); err != nil {
				t.Errorf("after %s: %s: %v", tt.kind, name, err)
			}
		}
	}
	begin(t, c, Request{Fault: FsyncHang, For: "20ms"})
	if err := f.SyncData(); err != nil || len(c.List()) != 0 {
		t.Errorf("a sync that hung: %v; still on: %v", err, c.List())
	}
	mem := vfs.NewMem()
	if (*Faults)(nil).FS(mem) != vfs.FS(mem) {
		t.Error("off: the file system is wrapped")
	}
}
