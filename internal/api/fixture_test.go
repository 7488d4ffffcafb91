package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
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

// harbour is a Source over the real registry and shape log, in memory. Its
// tables and rows are scripted.
type harbour struct {
	log    *shapelog.Log
	reg    *registry.Registry
	tables map[string]*shape.Table
	// rows are the messages of every snapshot.
	rows []string
	// chunk is the size at which a snapshot's chunk is closed, in bytes.
	chunk int64
	// padding makes entries of the log longer, in bytes.
	padding int

	mu        sync.Mutex // leaf
	health    string     // "active" or another state
	reason    string     // why not active
	zones     expr.Zones
	catalogue error // what Table and Zone fail with
	creation  error // what Create fails with
	failure   error // what every snapshot fails with
	lingers   bool  // a shape that failed is not removed yet
	query     error // what every subset fails with, once rows were read
	slow      bool  // snapshots are written by the test (snaps)
	snaps     []*shapelog.Snapshot
	changed   chan struct{} // closed when health changes
	progress  registry.Progress
	routed    wal.LSN // where the stream is, if further than the shapes
	damaged   []shape.Handle
}

func newHarbour(t testing.TB) *harbour {
	t.Helper()
	fs := vfs.NewMem()
	log, err := shapelog.Open(shapelog.Options{FS: fs, Dir: "log"})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Open(registry.Options{FS: fs, Dir: "catalogue", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(reg.Close(), log.Close()); err != nil {
			t.Error(err)
		}
	})
	boats := table(1, "public", "boats", "id int4", "name text", "crew int2")
	boats.Columns[0].NotNull, boats.Columns[1].NotNull = true, true
	boats.PK = []int{0}
	capital := table(2, "public", "Boats", "id int4")
	return &harbour{
		log:     log,
		reg:     reg,
		tables:  map[string]*shape.Table{"public.boats": boats, "public.Boats": capital},
		rows:    []string{rowOf(7, "Ava"), rowOf(8, "Bo")},
		chunk:   1 << 20,
		health:  "active",
		changed: make(chan struct{}),
	}
}

func table(oid uint32, schema, name string, columns ...string) *shape.Table {
	t := &shape.Table{OID: oid, Schema: schema, Name: name, Kind: 'r', Identity: 'f'}
	oids := map[string]uint32{"int4": 23, "int2": 21, "text": 25}
	for i, c := range columns {
		var name, typ string
		if _, err := fmt.Sscan(c, &name, &typ); err != nil {
			panic(err)
		}
		t.Columns = append(t.Columns, shape.Column{
			Column: expr.Column{
				Name:          name,
				Type:          expr.Type{OID: oids[typ], Name: typ, Base: oids[typ]},
				Bytewise:      true,
				Deterministic: true,
			},
			Num: int16(i + 1), TypMod: -1, SchemaType: typ,
		})
	}
	return t
}

func rowOf(id int, name string) string {
	return `{"key":"\"public\".\"boats\"/\"` + strconv.Itoa(id) + `\"","value":{"id":"` + strconv.Itoa(id) +
		`","name":"` + name + `","crew":null},"headers":{"operation":"insert","relation":["public","boats"]}}`
}

const snapshotEnd = `{"headers":{"control":"snapshot-end","xmin":"901","xmax":"905","xip_list":["903"]}}`

func (h *harbour) Table(_ context.Context, schema, name string) (*shape.Table, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.catalogue != nil {
		return nil, h.catalogue
	}
	if t := h.tables[schema+"."+name]; t != nil {
		return t, nil
	}
	return nil, ErrNoTable
}

func (h *harbour) Zone(_ context.Context, name string) (*expr.Zone, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.zones[name], h.catalogue
}

func (h *harbour) Find(def *shape.Def) *registry.Shape { return h.reg.Find(def.Key()) }

func (h *harbour) Fate(name shape.Handle) (shape.Reason, bool) {
	t, ok, err := h.reg.Tombstone(name)
	return t.Reason, ok && err == nil
}

func (h *harbour) Damaged(sp *registry.Shape, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.damaged = append(h.damaged, sp.Handle())
}

func (h *harbour) ByHandle(name shape.Handle) *registry.Shape { return h.reg.ByHandle(name) }

func (h *harbour) Create(_ context.Context, def *shape.Def) (*registry.Shape, error) {
	h.mu.Lock()
	creation, failure, lingers, slow := h.creation, h.failure, h.lingers, h.slow
	h.mu.Unlock()
	if creation != nil {
		return nil, creation
	}
	sh, created, err := h.reg.Create(def, 0)
	if err != nil || !created {
		return sh, err
	}
	sh.SetProgress(&h.progress)
	if failure != nil {
		sh.Fail(failure)
		if lingers {
			return sh, nil
		}
		return sh, h.reg.Remove(sh, shape.ReasonSnapshot)
	}
	return sh, h.fill(def, sh, slow)
}

// Subset gives two rows, whatever is asked for but their number.
func (h *harbour) Subset(_ context.Context, s *shape.Subset, onStart func(wal.Snapshot) error, onRow func(wal.Tuple) error) error {
	h.mu.Lock()
	query := h.query
	h.mu.Unlock()
	if err := onStart(wal.Snapshot{Xmin: 915, Xmax: 917, Xip: []uint64{916}, Until: 33561000}); err != nil {
		return err
	}
	for i, row := range []wal.Tuple{{[]byte("7"), []byte("Ava"), nil}, {[]byte("8"), []byte("Bo"), []byte("4")}} {
		if s.Limit > 0 && int64(i) == s.Limit {
			break
		}
		if err := onRow(row); err != nil {
			return err
		}
	}
	return query
}

// fill writes the first rows of a shape, or leaves that to the test.
func (h *harbour) fill(def *shape.Def, sh *registry.Shape, slow bool) error {
	snap := h.log.NewSnapshot(sh.ID(), h.chunk)
	if err := sh.SetSnapshot(wal.Snapshot{Xmin: 901, Xmax: 905, Xip: []uint64{903}}, snap); err != nil {
		return err
	}
	if slow {
		h.mu.Lock()
		h.snaps = append(h.snaps, snap)
		h.mu.Unlock()
		return nil
	}
	if def.Log != shape.LogChangesOnly {
		for _, row := range h.rows {
			if err := snap.Append([]byte(row)); err != nil {
				return err
			}
		}
	}
	if err := snap.Finish([]byte(snapshotEnd)); err != nil {
		return err
	}
	return sh.SnapshotComplete()
}

// ail takes all shapes out of the stream.
func (h *harbour) ail(reason shape.Reason, parked bool, until time.Time) error {
	for _, sh := range h.shapes() {
		if err := h.reg.Quarantine(sh, reason, "", parked, until); err != nil {
			return err
		}
	}
	return nil
}

// succeed puts a successor in the place of each that was taken out.
func (h *harbour) succeed() error {
	for _, old := range h.reg.Ill() {
		heir, err := h.reg.Successor(old, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(h.fill(old.Def(), heir, false), h.reg.Promote(heir)); err != nil {
			return err
		}
	}
	return nil
}

func (h *harbour) Ready(ctx context.Context) error {
	for {
		h.mu.Lock()
		health, reason, changed := h.health, h.reason, h.changed
		h.mu.Unlock()
		if health == "active" {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &NotReady{reason}
		}
	}
}

func (h *harbour) Active(ctx context.Context) error { return h.Ready(ctx) }

func (h *harbour) Delete(sp *registry.Shape) {
	if err := h.reg.Remove(sp, shape.ReasonDeleted); err != nil {
		panic(err)
	}
}

func (h *harbour) Health() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.health
}

func (h *harbour) Routed() wal.LSN {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(h.routed, h.progress.Position())
}

func (h *harbour) setHealth(state, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.health, h.reason = state, reason
	close(h.changed)
	h.changed = make(chan struct{})
}

// shapes are all shapes, oldest first.
func (h *harbour) shapes() []*registry.Shape { return slices.Collect(h.reg.All()) }

// append adds entries to the log of every shape, as one transaction of tx.
// A boundary is set behind the entries whose index is in boundaries.
func (h *harbour) append(tx wal.LSN, n int, boundaries ...int) error {
	for _, sh := range h.shapes() {
		b := h.log.NewBatch()
		var off wal.Offset
		for i := range n {
			off = wal.Offset{Tx: tx, Op: uint64(2 * i)}
			e := shapelog.Entry{Offset: off, JSON: []byte(entryOf(off, h.padding)), Boundary: slices.Contains(boundaries, i)}
			if err := b.Append(sh.ID(), e); err != nil {
				return err
			}
		}
		if err := b.Commit(); err != nil {
			return err
		}
		sh.Publish(off, tx)
	}
	h.progress.Advance(tx + 1)
	return nil
}

func entryOf(off wal.Offset, padding int) string {
	return fmt.Sprintf(`{"key":"\"public\".\"boats\"/\"7\"","value":{"id":"7","crew":"4%s"},"headers":{"operation":"update","relation":["public","boats"],"txids":[907],"lsn":"%d","op_position":%d}}`, strings.Repeat("0", padding), off.Tx, off.Op)
}

// rotate removes every shape.
func (h *harbour) rotate(reason shape.Reason) error {
	for _, sh := range h.shapes() {
		if err := h.reg.Remove(sh, reason); err != nil {
			return err
		}
	}
	return nil
}

func insecure() Config {
	cfg := Defaults()
	cfg.Insecure = true
	return cfg
}

// serve is New with a silent log.
func serve(cfg Config, src Source) *Handler {
	return New(cfg, src, slog.New(slog.DiscardHandler))
}
