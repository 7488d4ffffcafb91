package engine

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/pgtest"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// household is an engine that talks to a Postgres with a partitioned table, and whose
// stream does not run.
type household struct {
	*testing.T
	*families
	pg         *pgtest.DB
	root, leaf uint32
}

func newHousehold(t *testing.T) *household {
	t.Helper()
	pg := pgtest.New(t)
	pg.Exec("CREATE TABLE root (i int, PRIMARY KEY (i)) PARTITION BY LIST (i); CREATE TABLE leaf PARTITION OF root FOR VALUES IN (1); INSERT INTO root VALUES (1)")
	e, err := New(t.Context(), Config{DatabaseURL: pg.URL, DataDir: t.TempDir(), StreamID: "test", PoolSize: 4, ChunkBytes: 1 << 20,
		StallGrace: time.Second, MaxGhosts: 1}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.close(); err != nil {
			t.Error(err)
		}
	})
	h := &household{T: t, families: e.families, pg: pg}
	h.root, h.leaf = h.table("root").OID, h.table("leaf").OID
	return h
}

func (h *household) table(name string) *shape.Table {
	h.Helper()
	t, err := h.e.db.Table(h.Context(), "public", name)
	if err != nil {
		h.Fatal(err)
	}
	return t
}

// edges are those of a snapshot that is taken now.
func (h *household) edges() []pgquery.Edge {
	h.Helper()
	edges, _, err := h.e.db.Kin(h.Context(), []uint32{h.root})
	if err != nil {
		h.Fatal(err)
	}
	return edges
}

func (h *household) belongs() bool { return h.known.Load().above(h.leaf)[h.root] }

// begun is a shape on the root that has its first rows.
func (h *household) begun() *registry.Shape {
	h.Helper()
	def, err := shape.BuildDef(h.table("root"), shape.Params{})
	if err != nil {
		h.Fatal(err)
	}
	sp, created, err := h.e.registry.Create(def, 1)
	if err != nil || !created {
		h.Fatal(created, err)
	}
	err = h.admit(h.Context(), h.root, h.edges(), func() error {
		return sp.SetSnapshot(wal.Snapshot{Xmin: 1, Xmax: 1, Until: 1}, h.e.shapelog.NewSnapshot(sp.ID(), 1<<20))
	})
	if err != nil {
		h.Fatal(err)
	}
	return sp
}

const (
	detach = "ALTER TABLE root DETACH PARTITION leaf"
	attach = "ALTER TABLE root ATTACH PARTITION leaf FOR VALUES IN (1)"
)

// What is learned last was asked last: an answer of before does not undo what somebody
// has learned meanwhile, and rows are not given to a table that they belonged to.
func TestOldAnswers(t *testing.T) {
	t.Parallel()
	h := newHousehold(t)
	for range 10 {
		for _, c := range []struct {
			sql     string
			belongs bool
		}{{detach, false}, {attach, true}} {
			h.turn <- struct{}{} // somebody learns
			done := make(chan error, 1)
			go func() {
				_, err := h.lookUp(t.Context(), []uint32{h.leaf})
				done <- err
			}()
			h.pg.Exec(c.sql)
			<-h.turn
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if h.belongs() != c.belongs {
				t.Fatalf("after %s: it belongs to its root: %t", c.sql, h.belongs())
			}
		}
	}
}

// First rows of a family that is another by the time that their shape would begin are
// not used; a new partition that was empty is no difference.
func TestAdmission(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		before, meanwhile string
		known             bool // and it is learned before the shape would begin
		refused           bool
	}{
		"nothing":                         {"", "", false, false},
		"detached":                        {"", detach, false, true},
		"detached, which is known":        {"", detach, true, true},
		"attached":                        {detach, attach, false, true},
		"attached, which is known":        {detach, attach, true, true},
		"attached anew":                   {"", detach + "; " + attach, true, true},
		"a new partition":                 {"", "CREATE TABLE other PARTITION OF root FOR VALUES IN (2)", false, false},
		"a new partition, which is known": {"", "CREATE TABLE other PARTITION OF root FOR VALUES IN (2); INSERT INTO root VALUES (2)", true, false},
		"a new partition with rows":       {"", "BEGIN; CREATE TABLE other (LIKE root); INSERT INTO other VALUES (2); ALTER TABLE root ATTACH PARTITION other FOR VALUES IN (2); COMMIT", true, true},
		"known and gone again":            {"", "CREATE TABLE other PARTITION OF root FOR VALUES IN (2); DROP TABLE other", true, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHousehold(t)
			look := func(sql string) {
				h.pg.Exec(sql)
				if _, err := h.see(t.Context(), []uint32{h.root}, true); err != nil {
					t.Fatal(err)
				}
			}
			look(c.before)
			edges := h.edges()
			if c.known {
				look(c.meanwhile)
			} else {
				h.pg.Exec(c.meanwhile)
				if len(c.before)+len(c.meanwhile) > 0 {
					*h.known.Load() = kin{} // nothing is known of the family
				}
			}
			began := false
			err := h.admit(t.Context(), h.root, edges, func() error { began = true; return nil })
			if errors.Is(err, pgquery.ErrSchemaChanged) != c.refused || err != nil && !c.refused || began == c.refused {
				t.Errorf("began: %t, %v", began, err)
			}
		})
	}
}

// Before version 15 a partition is published by itself: first rows that have one which
// came after the others were published are not used, nor does their shape begin.
func TestPartitionAfterPublishing(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		meanwhile string
		refused   bool
	}{
		"nothing":         {"", false},
		"attached":        {"CREATE TABLE other (LIKE root); INSERT INTO other VALUES (2); ALTER TABLE root ATTACH PARTITION other FOR VALUES IN (2)", true},
		"attached anew":   {detach + "; " + attach, true},
		"a new partition": {"CREATE TABLE other PARTITION OF root FOR VALUES IN (2); INSERT INTO root VALUES (2)", false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHousehold(t)
			h.pg.Exec("CREATE PUBLICATION " + h.e.cfg.Publication())
			def, err := shape.BuildDef(h.table("root"), shape.Params{})
			if err != nil {
				t.Fatal(err)
			}
			d := database{h.e}
			published, err := d.Publish(t.Context(), def.Table)
			if err != nil {
				t.Fatal(err)
			}
			if modern := h.pg.Server.Version() >= 15; modern != (published == nil) {
				t.Fatalf("before version 15 the family counts: %v", published)
			} else if modern {
				published = h.edges()
			}
			h.pg.Exec(c.meanwhile)
			began := false
			err = d.Snapshot(t.Context(), def, published,
				func(wal.Snapshot) error { began = true; return nil }, func() error { return nil }, func(wal.Tuple) error { return nil })
			if errors.Is(err, pgquery.ErrSchemaChanged) != c.refused || err != nil && !c.refused || began == c.refused {
				t.Errorf("began: %t, %v", began, err)
			}
		})
	}
}

// It is written down what a family is when the shapes of the family that it was are
// gone for good: after a crash before that, they would stay.
func TestFamilyIsWrittenLast(t *testing.T) {
	t.Parallel()
	h := newHousehold(t)
	sp := h.begun()
	was, _ := h.e.registry.Fact(factKin)
	h.pg.Exec(detach)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() {
		_, err := h.see(ctx, []uint32{h.root}, true)
		done <- err
	}()
	for !sp.Leaving() { // nobody is there to remove it
		select {
		case err := <-done:
			t.Fatalf("it is learned, and the shape is there: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	if is, _ := h.e.registry.Fact(factKin); string(is) != string(was) || !h.belongs() {
		t.Errorf("it is known before the shape has gone: %s", is)
	}
	// Whoever comes meanwhile is compared with what will be known, too.
	if done, _ := h.admitNow(h.root, nil, func() error { return nil }); done {
		t.Error("a shape began before those of the old family have gone")
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := h.e.registry.Remove(sp, shape.ReasonSchema); err != nil {
		t.Fatal(err)
	}
	if _, err := h.see(t.Context(), []uint32{h.root}, true); err != nil || h.belongs() {
		t.Error(h.belongs(), err)
	}
}

// The stream names a table that is nobody's partition and is not published: it was one when
// it was written to. Nothing is known of it until there is an explanation.
func TestNamedByTheStreamAndNotPublished(t *testing.T) {
	t.Parallel()
	h := newHousehold(t)
	h.pg.Exec("CREATE PUBLICATION spillway_publication_test FOR TABLE root; CREATE TABLE loose (i int PRIMARY KEY)")
	loose := h.table("loose").OID
	look := func(oid uint32, explained bool) {
		t.Helper()
		unseen, err := h.lookUp(t.Context(), []uint32{oid})
		if err != nil {
			t.Fatal(err)
		}
		if _, known := (*h.known.Load())[oid]; known != explained || (len(unseen) == 0) != explained {
			t.Errorf("known: %t, to be asked for again: %v", known, unseen)
		}
	}
	h.pg.Exec(detach)
	look(h.leaf, false)
	look(loose, false)
	h.pg.Exec("ALTER PUBLICATION spillway_publication_test ADD TABLE loose")
	look(loose, true)
	h.pg.Exec(attach)
	look(h.leaf, true)
	h.pg.Exec(detach) // that is told by what was known
	look(h.leaf, true)
}
