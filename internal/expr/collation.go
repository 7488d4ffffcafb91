package expr

// collation is what is known of the collation that a comparison would use.
type collation struct {
	set           bool // some operand has one of its own, not the database's default
	bytewise      bool
	deterministic bool
	letters       Case
	column        string // for messages
}

// collationOf derives the collation of a node (manual, "Collation Support"):
// that of the columns below. The database's default, which a literal has, yields
// to any other; nothing is known of it but that it is deterministic. Where two columns
// meet, only what holds for both is claimed; if Postgres sees a conflict there,
// it refuses when the rows are first read.
func collationOf(n node) collation {
	switch n := n.(type) {
	case *column:
		if n.typeOf().collates() {
			return collation{true, n.col.Bytewise, n.col.Deterministic, n.col.Case, n.col.Name}
		}
	case *constant:
		if n.t.kind == kindName || n.t.elem == kindName { // always C
			return collation{set: true, bytewise: true, deterministic: true, letters: CaseASCII}
		}
	case *cast:
		return castCollation(n)
	case *applied:
		col := collation{deterministic: true}
		for _, arg := range n.args {
			if arg.typeOf().collates() {
				col = merge(col, collationOf(arg))
			}
		}
		return col
	}
	return collation{deterministic: true}
}

// castCollation: text made from text keeps its collation; made from something
// else, it has the default of the database, which yields as a literal's does.
func castCollation(n *cast) collation {
	switch {
	case n.arg.typeOf().kind.info().collates:
		return collationOf(n.arg)
	case n.row.to == kindName:
		return collation{set: true, bytewise: true, deterministic: true, letters: CaseASCII}
	}
	return collation{deterministic: true}
}

// merge combines the collations of two operands.
func merge(a, b collation) collation {
	switch {
	case !b.set:
		return a
	case !a.set:
		return b
	}
	if a.letters != b.letters {
		a.letters = CaseUnknown
	}
	if a.column == "" {
		a.column = b.column
	}
	a.bytewise = a.bytewise && b.bytewise
	a.deterministic = a.deterministic && b.deterministic
	return a
}

// checkCollation refuses what cannot be evaluated as Postgres does. Nothing is
// approximated: a difference between the rows read by a query and those taken
// from the stream would never heal.
func (c *checker) checkCollation(at ast, n *operation) error {
	if n.op.prepare != nil {
		if _, err := n.op.prepare(n, merge(collationOf(n.l), collationOf(n.r))); err != nil {
			return c.fail(at, err.Error())
		}
	}
	return c.checkNeed(at, n.op.need, merge(collationOf(n.l), collationOf(n.r)))
}

// checkNeed refuses a collation that does not give what is needed.
func (c *checker) checkNeed(at ast, need need, col collation) error {
	if need == needNothing {
		return nil
	}
	of := "the database's collation"
	if col.column != "" {
		of = `the collation of "` + col.column + `"`
	}
	switch {
	case !col.deterministic:
		return c.fail(at, "text cannot be compared here, as "+of+" is not deterministic")
	case need == needBytewise && !col.bytewise:
		return c.fail(at, "the order of text cannot be decided here, as "+of+
			" does not compare bytes (C, POSIX and C.UTF-8 do)")
	}
	return nil
}
