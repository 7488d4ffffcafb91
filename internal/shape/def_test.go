package shape

import "testing"

// Everything that changes what a client is sent is part of the key; the order
// in which columns were asked for is not.
func TestDefKey(t *testing.T) {
	base := func() *Def {
		return &Def{Table: table("public", "t", []int{0}, "id", "b", "a"), Columns: []int{0, 1, 2}}
	}
	want := base().Key()
	if got := base().Key(); got != want {
		t.Errorf("equal definitions: got %s and %s", got, want)
	}
	reordered := base()
	reordered.Table = table("public", "t", []int{0}, "id", "a", "b")
	if got := reordered.Key(); got != want {
		t.Errorf("columns at other positions: got %s, want %s", got, want)
	}
	for name, edit := range map[string]func(*Def){
		"oid":     func(d *Def) { d.Table.OID = 2 },
		"schema":  func(d *Def) { d.Table.Schema = "s" },
		"table":   func(d *Def) { d.Table.Name = "u" },
		"key":     func(d *Def) { d.Table.PK = []int{0, 1} },
		"no key":  func(d *Def) { d.Table.PK = nil },
		"columns": func(d *Def) { d.Columns = []int{0, 1} },
		"all":     func(d *Def) { d.AllColumns = true },
		"replica": func(d *Def) { d.Replica = ReplicaFull },
		"log":     func(d *Def) { d.Log = LogChangesOnly },
	} {
		d := base()
		edit(d)
		if d.Key() == want {
			t.Errorf("%s does not change the key %s", name, want)
		}
	}
}

// A name cannot pass for a separator.
func TestDefKeyQuotesNames(t *testing.T) {
	a := &Def{Table: table("s", `t"|"x`, []int{0}, "id"), Columns: []int{0}}
	b := &Def{Table: table(`s"|"t`, "x", []int{0}, "id"), Columns: []int{0}}
	if a.Key() == b.Key() {
		t.Errorf("two tables share the key %s", a.Key())
	}
}
