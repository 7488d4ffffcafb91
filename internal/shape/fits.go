package shape

import (
	"fmt"
	"slices"
	"strings"
)

// PartAttribute begins those of Column.Parts that are attributes of a composite.
const PartAttribute = "attribute "

// Fits says whether a shape of this definition can go on when its table is now
// t; if not, why. What a definition does not use does not matter to it, nor do
// NOT NULL, defaults and indexes other than the primary key
// (shape-semantics §3.7).
func (d *Def) Fits(t *Table) error {
	was := d.Table
	switch {
	case t.OID != was.OID:
		return fmt.Errorf("%w: it was dropped and made anew", ErrSchema)
	case t.Schema != was.Schema || t.Name != was.Name:
		return fmt.Errorf("%w: it is called %q.%q now", ErrSchema, t.Schema, t.Name)
	case !sameNames(was, was.PK, t, t.PK), was.Deferrable != t.Deferrable:
		return fmt.Errorf("%w: its primary key is another", ErrSchema)
	case (d.AllColumns || len(was.PK) == 0) && len(t.Columns) != len(was.Columns):
		return fmt.Errorf("%w: it has %d columns and had %d", ErrSchema, len(t.Columns), len(was.Columns))
	}
	for _, i := range d.Columns {
		if err := fits(was, t, i); err != nil {
			return err
		}
	}
	if d.Where == nil {
		return nil
	}
	for _, i := range d.Where.Columns() {
		if err := fits(was, t, i); err != nil {
			return err
		}
		c, n := &was.Columns[i], &t.Columns[t.Find(was.Columns[i].Name)]
		if c.Bytewise != n.Bytewise || c.Deterministic != n.Deterministic || c.Case != n.Case {
			return fmt.Errorf("%w: column %q has another collation", ErrSchema, c.Name)
		}
	}
	return nil
}

// FitsSince is Fits for a table that was found to fit as was, with regard to what a
// definition does not know of: a label that was added then may have another name now.
func (d *Def) FitsSince(was, t *Table) error {
	used := d.Columns
	if d.Where != nil {
		used = slices.Concat(used, d.Where.Columns())
	}
	for _, i := range used {
		if j := was.Find(d.Table.Columns[i].Name); j >= 0 {
			if err := fits(was, t, j); err != nil {
				return err
			}
		}
	}
	return nil
}

// fits is Fits for the column at i of was. That rows were written anew does no harm
// (VACUUM FULL), nor that a column is described anew (SET DEFAULT); both together, at
// whatever times, may have been ALTER COLUMN … TYPE … USING, which can give other
// values of the same type.
func fits(was, is *Table, i int) error {
	c := &was.Columns[i]
	j := is.Find(c.Name)
	if j < 0 {
		return fmt.Errorf("%w: column %q is gone", ErrSchema, c.Name)
	}
	n := &is.Columns[j]
	switch {
	case n.Num != c.Num:
		return fmt.Errorf("%w: column %q is another one of that name", ErrSchema, c.Name)
	case n.Type.OID != c.Type.OID || n.TypMod != c.TypMod || n.Generated != c.Generated:
		return fmt.Errorf("%w: column %q has another type", ErrSchema, c.Name)
	case !grown(c.Parts, n.Parts):
		return fmt.Errorf("%w: the type of column %q has other labels or attributes", ErrSchema, c.Name)
	case was.Files != 0 && was.Files != is.Files && c.Xmin != n.Xmin:
		return fmt.Errorf("%w: the values of column %q may have been written anew", ErrSchema, c.Name)
	}
	return nil
}

// grown reports whether a type is what it was, with labels added at the most.
func grown(was, is []string) bool {
	attributes := 0
	for _, part := range is {
		if len(was) > 0 && part == was[0] {
			was = was[1:]
		} else if strings.HasPrefix(part, PartAttribute) {
			attributes++
		}
	}
	return len(was) == 0 && attributes == 0
}

func sameNames(a *Table, ai []int, b *Table, bi []int) bool {
	if len(ai) != len(bi) {
		return false
	}
	for n := range ai {
		if a.Columns[ai[n]].Name != b.Columns[bi[n]].Name {
			return false
		}
	}
	return true
}
