package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/journal"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	// mostLarge is how many shapes are named by size, mostTombs how many removed ones.
	mostLarge, mostTombs = 10, 10
	// shortFact is what is printed of a fact, in bytes.
	shortFact = 80
)

// Report is what lies in a data directory.
type Report struct {
	Dir      string    `json:"dir"`
	Journal  Journal   `json:"journal"`
	Boundary string    `json:"boundary"` // what lies below is durable in the shape logs; "": none was noted
	Facts    []Fact    `json:"facts"`
	Shapes   Shapes    `json:"shapes"`
	Tables   []Table   `json:"tables"`
	Largest  []Large   `json:"largest"`
	Removed  Removed   `json:"removed"`
	Problems []Problem `json:"problems,omitempty"`
}

// Journal is the journal's files.
type Journal struct {
	Format   int       `json:"format"`
	From     string    `json:"from"` // a replay may begin here
	To       string    `json:"to"`
	Bytes    int64     `json:"bytes"`
	Segments []Segment `json:"segments"`
}

// Segment is one file of the journal.
type Segment struct {
	File   string `json:"file"`
	From   string `json:"from"`
	To     string `json:"to"`
	Frames int    `json:"frames"`
	Bytes  int64  `json:"bytes"`
	Torn   int64  `json:"torn,omitempty"` // bytes that a crash left unfinished
	Open   bool   `json:"open,omitempty"` // a transaction is open at its end
	Sealed bool   `json:"sealed,omitempty"`
}

// Fact is what the engine has noted under a name.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Shapes counts them by state.
type Shapes struct {
	Format       string `json:"format"` // the catalogue's
	Snapshotting int    `json:"snapshotting"`
	Live         int    `json:"live"`
	Quarantined  int    `json:"quarantined"`
	Parked       int    `json:"parked"`
	Bytes        uint64 `json:"bytes"` // of their logs and first rows, estimated
}

// Table is a table that has shapes.
type Table struct {
	Name   string `json:"name"`
	Shapes int    `json:"shapes"`
}

// Large is a shape among the largest.
type Large struct {
	Handle string `json:"handle"`
	Table  string `json:"table"`
	Log    uint64 `json:"log_bytes"`
	Rows   int64  `json:"rows_bytes"`
}

// Removed is what is remembered of removed shapes.
type Removed struct {
	Count   int            `json:"count"`
	Reasons map[string]int `json:"reasons"`
	Newest  []Gone         `json:"newest"`
}

// Gone is a removed shape.
type Gone struct {
	Handle string `json:"handle"`
	Table  string `json:"table"`
	Where  string `json:"where,omitempty"`
	Reason string `json:"reason"`
	At     int64  `json:"at"` // µs since 1970
}

// Problem is damage, or what could not be read.
type Problem struct {
	What string `json:"what"`
	File string `json:"file,omitempty"`
	// Offset is where in the file it begins, in bytes.
	Offset int64 `json:"offset,omitempty"`
}

// unlocked is a file system in which Pebble takes no lock: the caller has locked the
// directory, and may not be allowed to write in it.
type unlocked struct{ vfs.FS }

// Lock takes none.
func (unlocked) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Directory is an open data directory.
type Directory struct {
	dir       string
	fs        vfs.FS
	catalogue *registry.Catalogue // nil: it cannot be read
	logs      *shapelog.Log       // nil: they cannot be read
	problems  []Problem
}

// Open opens what there is in a data directory that no service works in.
func Open(dir string) *Directory {
	d := &Directory{dir: dir, fs: unlocked{vfs.Default}}
	var err error
	if d.catalogue, err = registry.OpenCatalogue(registry.Options{FS: d.fs, Dir: filepath.Join(dir, "catalogue")}); err != nil {
		d.problem(err)
	}
	if d.logs, err = shapelog.Open(shapelog.Options{FS: d.fs, Dir: filepath.Join(dir, "shapes"), ReadOnly: true}); err != nil {
		d.problem(err)
	}
	return d
}

// Close closes it.
func (d *Directory) Close() error {
	var err error
	if d.catalogue != nil {
		err = d.catalogue.Close()
	}
	if d.logs != nil {
		err = errors.Join(err, d.logs.Close())
	}
	return err
}

func (d *Directory) problem(err error) {
	p := Problem{What: err.Error()}
	var c *journal.CorruptError
	if errors.As(err, &c) {
		p = Problem{What: c.Cause, File: c.Path, Offset: c.Offset}
	}
	d.problems = append(d.problems, p)
}

// Look reads everything but rows and entries.
func (d *Directory) Look() *Report {
	r := &Report{Dir: d.dir, Facts: []Fact{}, Tables: []Table{}, Largest: []Large{}, Removed: Removed{Reasons: map[string]int{}, Newest: []Gone{}}}
	d.journal(r)
	if d.catalogue != nil {
		for _, look := range []func(*Report) error{d.facts, d.shapes, d.removed} {
			if err := look(r); err != nil {
				d.problem(err)
			}
		}
	}
	r.Problems = d.problems
	return r
}

func (d *Directory) journal(r *Report) {
	r.Journal = Journal{Format: journal.FormatVersion, Segments: []Segment{}}
	s, err := journal.Look(d.fs, filepath.Join(d.dir, "journal"))
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("there is no journal")
	}
	if err != nil {
		d.problem(err)
	}
	for _, c := range s.Damage {
		d.problem(c)
	}
	for i, seg := range s.Segments {
		if i == 0 {
			r.Journal.From = seg.From.String()
		}
		r.Journal.To = seg.To.String()
		r.Journal.Bytes += seg.Bytes
		r.Journal.Segments = append(r.Journal.Segments, Segment{
			File: filepath.Base(seg.Path), From: seg.From.String(), To: seg.To.String(), Frames: seg.Frames,
			Bytes: seg.Bytes, Torn: seg.Torn, Open: seg.Open, Sealed: seg.Sealed,
		})
	}
}

func (d *Directory) facts(r *Report) error {
	return d.catalogue.Facts(func(name string, value []byte) error {
		text := string(value)
		switch {
		case name == engine.FactBoundary:
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return fmt.Errorf("read the boundary: %w", err)
			}
			r.Boundary = wal.LSN(n).String()
			return nil
		case len(text) > shortFact || !utf8.ValidString(text):
			text = fmt.Sprintf("(%d bytes)", len(value))
		}
		r.Facts = append(r.Facts, Fact{name, text})
		return nil
	})
}

func (d *Directory) shapes(r *Report) error {
	tables := make(map[string]int)
	r.Shapes.Format = d.catalogue.Version()
	err := d.catalogue.Shapes(func(s *registry.Stored) error {
		tables[s.Schema+"."+s.Table]++
		switch s.State {
		case registry.Live:
			r.Shapes.Live++
		case registry.Quarantined:
			r.Shapes.Quarantined++
		case registry.Parked:
			r.Shapes.Parked++
		default:
			r.Shapes.Snapshotting++
		}
		l := Large{Handle: string(s.Handle), Table: s.Schema + "." + s.Table}
		var err error
		if l.Log, l.Rows, err = d.sizes(s); err != nil {
			d.problem(err)
		}
		r.Shapes.Bytes += l.Log + uint64(l.Rows)
		r.Largest = largest(r.Largest, l)
		return nil
	})
	for name, n := range tables {
		r.Tables = append(r.Tables, Table{name, n})
	}
	slices.SortFunc(r.Tables, func(a, b Table) int { return cmp.Or(b.Shapes-a.Shapes, cmp.Compare(a.Name, b.Name)) })
	return err
}

// largest keeps the largest ones in order.
func largest(list []Large, l Large) []Large {
	list = append(list, l)
	slices.SortStableFunc(list, func(a, b Large) int { return cmp.Compare(b.Log+uint64(b.Rows), a.Log+uint64(a.Rows)) })
	return list[:min(len(list), mostLarge)]
}

func (d *Directory) removed(r *Report) error {
	return d.catalogue.Tombstones(func(t registry.Tombstone) error {
		r.Removed.Count++
		r.Removed.Reasons[string(t.Reason)]++
		r.Removed.Newest = append(r.Removed.Newest, gone(t))
		if n := len(r.Removed.Newest) - mostTombs; n > 0 {
			r.Removed.Newest = r.Removed.Newest[n:]
		}
		return nil
	})
}

func gone(t registry.Tombstone) Gone {
	return Gone{Handle: string(t.Handle), Table: t.Schema + "." + t.Table, Where: t.Where, Reason: string(t.Reason), At: t.Removed}
}

// sizes are what a shape's log and its first rows take, in bytes.
func (d *Directory) sizes(s *registry.Stored) (log uint64, rows int64, err error) {
	if d.logs == nil || s.State == registry.Snapshotting {
		return 0, 0, nil
	}
	if log, err = d.logs.Size(s.ID); err != nil {
		return 0, 0, err
	}
	chunks, err := d.chunks(s)
	for _, n := range chunks {
		rows += n
	}
	return log, rows, err
}

// chunks are the sizes of a shape's first rows.
func (d *Directory) chunks(s *registry.Stored) (sizes []int64, err error) {
	snap, err := d.snapshot(s)
	if err != nil || snap == nil {
		return nil, err
	}
	n, _ := snap.Chunks()
	for k := range n {
		size, _, err := snap.Chunk(k).Size()
		if err != nil {
			return sizes, fmt.Errorf("first rows of shape %s: %w", s.Handle, err)
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

func (d *Directory) snapshot(s *registry.Stored) (*shapelog.Snapshot, error) {
	if s.Chunks > 0 {
		return d.logs.OpenSnapshot(s.ID, s.Chunks), nil
	}
	return d.catalogue.Rows(s.ID)
}

// ErrUnknown: nothing is known of a handle.
var ErrUnknown = errors.New("nothing is known of that handle")

// find returns a shape, or what remains of it.
func (d *Directory) find(h shape.Handle) (*registry.Stored, *Gone, error) {
	if d.catalogue == nil {
		return nil, nil, errors.New(d.problems[0].What)
	}
	s, err := d.catalogue.Shape(h)
	if err != nil || s != nil {
		return s, nil, err
	}
	t, ok, err := d.catalogue.Tombstone(h)
	switch {
	case err != nil:
		return nil, nil, err
	case !ok:
		return nil, nil, fmt.Errorf("%s: %w", h, ErrUnknown)
	}
	g := gone(t)
	return nil, &g, nil
}
