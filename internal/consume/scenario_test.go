package consume

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

var rewrite = flag.Bool("rewrite", false, "write what the scenarios give into testdata")

// A scenario is a text of stanzas, each a few commands, a line "----" and what
// they give. testdata/README says which commands there are.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("%s: got\n%s\nrun with -rewrite and read the difference", file, got)
			}
		})
	}
}

// play runs a scenario and gives it back with what came out.
func play(text string) string {
	var s stage
	var all []string
	for stanza := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n\n") {
		input, _, ok := strings.Cut(stanza, "----")
		if !ok {
			all = append(all, stanza)
			continue
		}
		s.print.Reset()
		for line := range strings.Lines(input) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				if err := s.do(line); err != nil {
					fmt.Fprintf(&s.print, "error: %v\n", err)
				}
			}
		}
		all = append(all, strings.TrimRight(input+"----\n"+s.print.String(), "\n"))
	}
	return strings.Join(all, "\n\n") + "\n"
}

// stage is a table with shapes on it, in the order in which they were declared.
type stage struct {
	table  *shape.Table
	rel    *wal.Relation
	shapes []*actor
	enc    Encoders
	tx     wal.Txn
	seq    uint64
	print  bytes.Buffer
}

type actor struct {
	name    string
	c       *Consumer
	rotated bool
}

func (s *stage) do(line string) error {
	command, rest, _ := strings.Cut(line, " ")
	switch command {
	case "table":
		return s.newTable(rest)
	case "relation":
		return s.newRelation(rest)
	case "shape":
		return s.newShape(rest)
	case "begin":
		s.tx, s.seq = wal.Txn{}, 0
		_, err := fmt.Sscanf(rest, "%d xid=%d", &s.tx.Commit, &s.tx.XID)
		return err
	case "seq":
		_, err := fmt.Sscanf(rest, "%d", &s.seq)
		return err
	case "insert", "update", "delete", "truncate":
		return s.change(command, rest)
	case "commit":
		s.tx.End = s.tx.Commit + 8
		s.each(func(c *Consumer, out *Out) error { c.Commit(&s.tx, out); return nil })
	case "abort":
		s.each(func(c *Consumer, out *Out) error { c.Abort(); return nil })
	case "cursor":
		for _, a := range s.shapes {
			cur := a.c.Cursor()
			fmt.Fprintf(&s.print, "%s: pos %d tail %s chunk %d bytes\n", a.name, cur.Pos, cur.Tail, cur.ChunkBytes)
		}
	case "snapshot-row":
		row, err := parseRow(rest)
		if err != nil {
			return err
		}
		for _, a := range s.shapes {
			fmt.Fprintf(&s.print, "%s: %s\n", a.name, AppendInsertRow(nil, a.c.def, row))
		}
	default:
		return fmt.Errorf("unknown command %q", command)
	}
	return nil
}

// options splits "a b=c d" into words before the first option and options.
func options(s string) (words []string, opts map[string]string) {
	opts = map[string]string{}
	for _, w := range strings.Fields(s) {
		if k, v, ok := strings.Cut(w, "="); ok {
			opts[k] = strings.ReplaceAll(v, "~", " ")
		} else {
			words = append(words, w)
		}
	}
	return words, opts
}

func (s *stage) newTable(rest string) (err error) {
	words, opts := options(rest)
	if s.table, err = newTable(words[0], strings.Join(words[1:], " "), opts["pk"]); err != nil {
		return err
	}
	if opts["kind"] != "" {
		s.table.Kind = opts["kind"][0]
	}
	s.table.Deferrable = opts["deferrable"] != ""
	s.shapes = nil
	s.rel = announce(s.table, nil)
	return nil
}

// newRelation announces a new version of the table or another table.
func (s *stage) newRelation(rest string) error {
	words, opts := options(rest)
	t, err := newTable(words[0], strings.Join(words[1:], " "), "")
	if err != nil {
		return err
	}
	s.rel = announce(t, nil)
	if opts["oid"] != "" {
		if _, err := fmt.Sscan(opts["oid"], &s.rel.OID); err != nil {
			return err
		}
	}
	s.each(func(c *Consumer, _ *Out) error { return c.Relation(&s.tx, s.rel) })
	return nil
}

func (s *stage) newShape(rest string) error {
	words, opts := options(rest)
	var cols []int
	var err error
	if opts["columns"] != "" {
		if cols, err = positions(s.table, opts["columns"]); err != nil {
			return err
		}
	}
	d := newDef(s.table, cols, shape.ReplicaDefault)
	if opts["replica"] == "full" {
		d.Replica = shape.ReplicaFull
	}
	if opts["log"] == "changes_only" {
		d.Log = shape.LogChangesOnly
	}
	var where *condition
	if opts["where"] != "" {
		if where, err = parseCondition(s.table, opts["where"]); err != nil {
			return err
		}
	}
	cur, chunk := start, int64(10<<20)
	var snap *wal.Snapshot
	if opts["snapshot"] != "" {
		parsed, err := wal.ParseSnapshot(opts["snapshot"])
		if err != nil {
			return err
		}
		snap = &parsed
	}
	for name, to := range map[string]any{"chunk": &chunk, "pos": &cur.Pos} {
		if err := scan(opts[name], to); err != nil {
			return err
		}
	}
	if snap != nil {
		if err := scan(opts["until"], &snap.Until); err != nil {
			return err
		}
	}
	a := &actor{name: words[0], c: consumer(d, where, cur, chunk, snap)}
	a.c.Share(&s.enc)
	s.shapes = append(s.shapes, a)
	return nil
}

func scan(s string, to any) error {
	if s == "" {
		return nil
	}
	_, err := fmt.Sscan(s, to)
	return err
}

func parseRow(s string) (wal.Tuple, error) {
	var values []*string
	if err := json.Unmarshal([]byte(s), &values); err != nil {
		return nil, fmt.Errorf("row %s: %w", s, err)
	}
	row := make(wal.Tuple, len(values))
	for i, v := range values {
		if v != nil {
			row[i] = append([]byte{}, *v...)
		}
	}
	return row, nil
}

func (s *stage) change(command, rest string) (err error) {
	ch := &wal.Change{Rel: s.rel, Seq: s.seq}
	s.seq += 2
	switch command {
	case "insert":
		ch.Op = wal.Insert
		ch.New, err = parseRow(rest)
	case "delete":
		ch.Op = wal.Delete
		if key, ok := strings.CutPrefix(rest, "key-only "); ok {
			ch.OldIsKey, rest = true, key
		}
		ch.Old, err = parseRow(rest)
	case "truncate":
		ch.Op = wal.Truncate
	case "update":
		ch.Op = wal.Update
		before, after, _ := strings.Cut(rest, " -> ")
		if text, ok := strings.CutSuffix(after, " incomplete"); ok {
			ch.Incomplete, after = true, text
		}
		if ch.New, err = parseRow(after); err == nil && before != "unknown" {
			ch.Old, err = parseRow(before)
		}
	}
	if err == nil {
		s.each(func(c *Consumer, out *Out) error { return c.Change(&s.tx, ch, out) })
	}
	return err
}

// each lets every shape do something and prints what it gave.
func (s *stage) each(f func(*Consumer, *Out) error) {
	for _, a := range s.shapes {
		if a.rotated {
			continue
		}
		var out Out
		err := f(a.c, &out)
		for _, e := range out.Entries {
			fmt.Fprintf(&s.print, "%s: %s %s\n", a.name, e.Offset, e.JSON)
			if e.Boundary {
				fmt.Fprintf(&s.print, "%s: chunk ends\n", a.name)
			}
		}
		var r *Rotate
		switch {
		case errors.As(err, &r):
			fmt.Fprintf(&s.print, "%s: %v\n", a.name, r)
			a.rotated = true
		case err != nil:
			fmt.Fprintf(&s.print, "%s: error: %v\n", a.name, err)
		}
	}
}
