package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// pair is a row on both sides: a hash of each column, nil where there is no row.
type pair struct {
	want, got []uint64
	// Rows of a table without a key may be equal: how many there are.
	wants, gots int
}

// compare notes how the rows that clients have differ from those that are.
func (c *check) compare(ctx context.Context, r *Result) error {
	if err := c.compareStore(ctx, c.store, r); err != nil {
		return err
	}
	for _, list := range [][]string{r.Missing, r.Extra, r.Different} {
		slices.Sort(list) // they came part by part
	}
	return nil
}

func (c *check) compareStore(ctx context.Context, s *store, r *Result) error {
	for i := range s.parts {
		if err := c.comparePart(ctx, s, &s.parts[i], r); err != nil {
			return err
		}
	}
	return nil
}

// errLarge says that a part's rows need more memory than there is.
var errLarge = errors.New("too large")

func (c *check) comparePart(ctx context.Context, s *store, p *part, r *Result) error {
	rows := &rows{check: c, pairs: make(map[string]*pair), limit: s.memory / 2}
	if s.depth == deepest {
		rows.limit = 1 << 62
	}
	err := s.each(ctx, p, rows.apply)
	if errors.Is(err, errLarge) {
		return c.cut(ctx, s, p, r)
	}
	if err != nil {
		return err
	}
	for key, row := range rows.pairs {
		r.note(key, row, c.names)
	}
	return nil
}

// cut cuts a part once more.
func (c *check) cut(ctx context.Context, s *store, p *part, r *Result) (err error) {
	finer := &store{memory: s.memory, depth: s.depth + 1}
	defer func() { err = errors.Join(err, finer.close()) }()
	if err := s.each(ctx, p, finer.add); err != nil {
		return err
	}
	return c.compareStore(ctx, finer, r)
}

// rows are the rows of a part.
type rows struct {
	*check
	pairs       map[string]*pair
	used, limit int64 // bytes, about
}

// apply does what a client does with a message, or notes a row of SELECT's.
func (r *rows) apply(e *entry) error {
	row := r.pairs[e.key]
	if row == nil {
		row = new(pair)
		r.pairs[e.key] = row
		if r.used += r.size(e.key); r.used > r.limit {
			return errLarge
		}
	}
	if err := r.step(row, e); err != nil {
		return err
	}
	if row.wants+row.gots == 0 {
		delete(r.pairs, e.key)
		r.used -= r.size(e.key)
	}
	return nil
}

func (r *rows) size(key string) int64 { return int64(len(key) + 16*len(r.names) + 160) }

func (r *rows) step(row *pair, e *entry) error {
	unknown := func(does string) error {
		return fmt.Errorf("its log %s %s, which is not there, at %s", does, e.key, lsn(e.commit))
	}
	switch e.kind {
	case selected:
		if row.wants++; r.keyed && row.wants > 1 {
			return fmt.Errorf("SELECT returns %s twice: is the index of its key broken?", e.key)
		}
		row.want = r.cells(nil, e)
	case inserted:
		if row.gots++; r.keyed && row.gots > 1 {
			return fmt.Errorf("its log inserts %s twice, at %s", e.key, lsn(e.commit))
		}
		row.got = r.cells(nil, e)
	case updated:
		if row.gots == 0 {
			return unknown("updates")
		}
		row.got = r.cells(row.got, e)
	case deleted:
		if row.gots == 0 {
			return unknown("deletes")
		}
		if row.gots--; row.gots == 0 {
			row.got = nil
		}
	case held:
		if row.gots == 0 {
			return unknown("changes")
		}
		for _, cell := range e.cells {
			if row.got[cell.column] != cell.hash {
				return fmt.Errorf("its log says at %s that column %q of %s had a value that it never gave: changes are missing before it",
					lsn(e.commit), r.names[cell.column], e.key)
			}
		}
	}
	return nil
}

// cells sets what an entry has in a row; nil is one of NULLs.
func (r *rows) cells(row []uint64, e *entry) []uint64 {
	if row == nil {
		row = make([]uint64, len(r.names))
	}
	for _, cell := range e.cells {
		row[cell.column] = cell.hash
	}
	return row
}

// note notes how a row differs.
func (r *Result) note(key string, row *pair, names []string) {
	list := func(to *[]string, rows int, what string) {
		r.Differing += rows
		if rows > 1 {
			what = fmt.Sprintf("%s (%d times)", what, rows)
		}
		if len(*to) < kept {
			*to = append(*to, what)
		}
	}
	switch n := row.wants - row.gots; {
	case n > 0:
		list(&r.Missing, n, key)
	case n < 0:
		list(&r.Extra, -n, key)
	case !slices.Equal(row.want, row.got):
		var differ []string
		for i, h := range row.want {
			if row.got[i] != h {
				differ = append(differ, names[i])
			}
		}
		list(&r.Different, row.wants, key+": "+strings.Join(differ, ", "))
	}
}
