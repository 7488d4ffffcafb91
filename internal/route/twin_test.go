package route

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// fleet is boats with a column of each kind of index.
func fleet() *shape.Table {
	t := boats()
	add := func(name string, typ expr.Type) {
		t.Columns = append(t.Columns, shape.Column{TypMod: -1, Num: int16(len(t.Columns) + 1),
			Column: expr.Column{Name: name, Type: typ, Deterministic: true, Bytewise: true}})
	}
	t.Columns[2].Bytewise = true
	add("tags", expr.Type{OID: 1009, Base: 1009, Name: "_text", Array: true})
	add("price", expr.Type{OID: 1700, Base: 1700, Name: "numeric"})
	add("length", expr.Type{OID: 701, Base: 701, Name: "float8"})
	add("u", expr.Type{OID: 2950, Base: 2950, Name: "uuid"})
	return t
}

var fleetColumns = []string{"id", "owner", "name", "tags", "price", "length", "u"}

const someUUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1"

// clause makes a random clause over fleet, and value a value of one of its columns.
func clause(rng *rand.Rand, depth int) string {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	small := func() string { return strconv.Itoa(rng.IntN(6)) }
	letter := func() string { return string(rune('a' + rng.IntN(4))) }
	if depth > 0 && rng.IntN(2) == 0 {
		return "(" + clause(rng, depth-1) + pick(" AND ", " AND ", " OR ") + clause(rng, depth-1) + ")"
	}
	op := pick("=", "=", "<", "<=", ">", ">=", "<>")
	switch rng.IntN(14) {
	case 0:
		return small() + " " + op + " owner"
	case 1:
		return "owner IN (" + small() + ", NULL, " + small() + ")"
	case 2:
		return "id = ANY('{" + small() + "," + small() + ",NULL}')"
	case 3:
		return "id BETWEEN " + small() + " AND " + small()
	case 4:
		return "name " + op + " '" + letter() + "'"
	case 5:
		return "name " + pick("LIKE", "ILIKE", "NOT LIKE") + " '" + pick("", "%") + pick(letter(), "aBc", "abcabc", "\\B\\c_c", "日_cab", "Kab") + pick("", "%") + "'"
	case 6:
		return "tags @> '{" + pick("", letter(), letter()+","+letter(), letter()+",NULL", letter()+","+letter()+","+letter()) + "}'"
	case 7:
		return "'" + letter() + "' = ANY(tags)"
	case 8:
		return "tags && '{" + letter() + "," + letter() + "}'"
	case 9:
		return "price " + op + " " + pick("1", "1.0", "-0.5", "'NaN'", "2.25", "10")
	case 10:
		return "length " + op + " " + pick("'0'", "'-0'", "'1.5'", "'-Infinity'", "'NaN'")
	case 11:
		return "u = '" + strings.ToUpper(someUUID) + small() + "'"
	case 12:
		return pick("owner IS NULL", "owner = NULL", "NOT (owner = 3)", "owner IS NOT DISTINCT FROM 2", "(owner = 1) IS TRUE")
	}
	return "owner " + op + " " + small()
}

func fleetRow(rng *rand.Rand) wal.Tuple {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	r := row(rng.IntN(6), rng.IntN(6), pick("a", "b", "bb", "c", "abc", "xABCabc", "bcaaBcABC", "日日cab", "İkab", "\u212Aab"), pick("{}", "{a}", "{b,a}", "{a,NULL,b,a,c}", "{NULL}", "{{a,b},{c,d}}"),
		pick("1", "1.00", "-0.5", "NaN", "2.250", "10", "-Infinity", "9.99"), pick("0", "-0", "1.5", "NaN", "Infinity", "-2e-7"), someUUID+strconv.Itoa(rng.IntN(6)))
	for i := range r {
		switch rng.IntN(40) {
		case 0:
			r[i] = []byte("{unreadable")
		case 1, 2, 3:
			r[i] = nil
		}
	}
	return r
}

// against runs random shapes and changes through the index and through a walk over
// all shapes. What the clause is TRUE of must be found, and nothing else but what
// cannot be decided.
func against(t testing.TB, seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	table := fleet()
	rel := relation(table, fleetColumns...)
	x, twin := New(), map[shape.ID]*shape.Def{}
	drop := func(id shape.ID) {
		x.Remove(id)
		delete(twin, id)
	}
	for n := range shape.ID(steps) {
		if rng.IntN(3) > 0 {
			d := define(t, table, clause(rng, 3))
			x.Add(n, d)
			twin[n] = d
		}
		if len(twin) > 80 {
			for id := range twin {
				if drop(id); len(twin) < 40 {
					break
				}
			}
		}
		ch := wal.Change{Op: wal.Op(1 + rng.IntN(3)), Rel: rel}
		if ch.Op != wal.Insert {
			ch.Old = fleetRow(rng)
		}
		if ch.Op != wal.Delete {
			ch.New = fleetRow(rng)
			if ch.Old != nil && rng.IntN(2) == 0 { // an update changes little
				ch.New = slices.Clone(ch.Old)
				c := rng.IntN(len(ch.New))
				ch.New[c] = fleetRow(rng)[c]
			}
		}
		got := routed(x, ch)
		for id, d := range twin {
			must, may := false, false
			for _, r := range []wal.Tuple{ch.Old, ch.New} {
				if r != nil {
					in, err := d.Where.Match(r)
					must, may = must || in, may || err != nil
				}
			}
			i, is := slices.BinarySearch(got, id)
			if must && !is || is && !must && !may {
				t.Fatalf("seed %d, step %d: %s old %q new %q: found %v for %s", seed, n, ch.Op, ch.Old, ch.New, is, d.Where.SQL())
			}
			if is {
				got = slices.Delete(got, i, i+1)
			}
		}
		if len(got) > 0 {
			t.Fatalf("seed %d, step %d: shapes %v are not there, or there twice", seed, n, got)
		}
	}
	for id := range twin {
		drop(id)
	}
	if x.Len() != 0 || len(x.tables) != 0 || x.places.inUse() != 0 || x.entries.inUse() != 0 {
		t.Fatalf("seed %d: an emptied index holds %d shapes and %d tables", seed, x.Len(), len(x.tables))
	}
}

// inUse is how many numbers somebody has.
func (s *slab[T]) inUse() (n int) {
	for p, used := range s.used {
		if n += int(used); (used == 0) != (s.pages[p] == nil) {
			panic("a page that nobody uses is there, or one that somebody uses is not")
		}
	}
	given := int(s.n)
	if given > firstSize {
		given -= pageSize - firstSize
	}
	if given-len(s.free) != n {
		panic("a number is nobody's and not free")
	}
	return n
}

func TestAgainstDumbTwin(t *testing.T) {
	for range 8 {
		against(t, rand.Uint64(), 4_000)
	}
}

func FuzzRoute(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { against(t, seed, 400) })
}

// Whatever the number of shapes: a change looks at those that it touches.
func TestLooksAtNoOthers(t *testing.T) {
	const many = 2_000
	table := fleet()
	rel := relation(table, fleetColumns...)
	the := row(7, 7, "a name <N7> of some length", "{t7,u,v}", "7", "7", someUUID+"1")
	for _, c := range []struct {
		name  string
		where func(k int) string
		want  uint64 // shapes looked at
	}{
		{"equality", func(k int) string { return fmt.Sprintf("%d = owner", k) }, 1},
		{"uuid", func(k int) string { return fmt.Sprintf("u = '%s1' AND owner = %d", someUUID, k) }, 1},
		{"IN", func(k int) string { return fmt.Sprintf("owner IN (%d, %d)", 2*k, 2*k+1) }, 1},
		{"ANY of a constant", func(k int) string { return fmt.Sprintf("owner = ANY('{%d,%d}')", 2*k, 2*k+1) }, 1},
		{"AND", func(k int) string { return fmt.Sprintf("owner = 7 AND name = 'a name <N%d> of some length'", k) }, 1},
		{"AND with an OR", func(k int) string { return fmt.Sprintf("(owner = %d OR id = %d) AND name LIKE '%%N7%%'", k, k) }, 1},
		{"OR", func(k int) string { return fmt.Sprintf("owner = %d OR name = 'a name <N%d> of some length'", k, k) }, 1},
		{"AND with what is not indexed", func(k int) string { return fmt.Sprintf("owner = %d AND name LIKE '%%7%%'", k) }, 1},
		{"containment", func(k int) string { return fmt.Sprintf("tags @> '{u,t%d}'", k) }, 1},
		{"ANY of an array", func(k int) string { return fmt.Sprintf("'t%d' = ANY(tags)", k) }, 1},
		{"pattern", func(k int) string { return fmt.Sprintf("name LIKE '%%<N%d>%%'", k) }, 1},
		{"pattern of any case", func(k int) string { return fmt.Sprintf("name ILIKE '%%<n%d> of%%'", k) }, 1},
		{"disjoint ranges", func(k int) string { return fmt.Sprintf("price BETWEEN %d AND %d", 10*k, 10*k+9) }, 1},
		{"range of one owner", func(k int) string { return fmt.Sprintf("owner = 7 AND length >= %d AND length < %d", k, k+1) }, 1},
		{"open ranges", func(k int) string { return fmt.Sprintf("id < %d", k) }, many - 8},
		{"never", func(k int) string { return fmt.Sprintf("owner = %d AND owner = %d", k, k+1) }, 0},
	} {
		x := New()
		for k := range many {
			x.Add(shape.ID(k+1), define(t, table, c.where(k)))
		}
		ids := x.Route(&wal.Change{Op: wal.Insert, Rel: rel, New: the}, nil)
		if x.Looked() != c.want || uint64(len(ids)) != c.want {
			t.Errorf("%s: looked at %d of %d shapes, found %d, want %d", c.name, x.Looked(), many, len(ids), c.want)
		}
		for k := range many {
			x.Remove(shape.ID(k + 1))
		}
		if len(x.tables) != 0 {
			t.Errorf("%s: something is left", c.name)
		}
	}
}
