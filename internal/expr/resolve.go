package expr

// selectOperator chooses the row of the operator table for two operand types as
// Postgres does (manual, "Operator Type Resolution"; parse_oper.c). nil: none,
// or more than one is as good.
func selectOperator(rows []*operator, l, r typ) *operator {
	if l.kind == kindEnum || r.kind == kindEnum {
		return selectEnum(rows, l, r)
	}
	args := [2]kind{l.kind, r.kind}
	// An untyped side is first taken to be of the other side's type.
	exact := args
	if exact[0] == kindUnknown {
		exact[0] = exact[1]
	} else if exact[1] == kindUnknown {
		exact[1] = exact[0]
	}
	var candidates []*operator
	for _, op := range rows {
		if op.left == exact[0] && op.right == exact[1] {
			return op
		}
		if op.left != kindEnum && implicitly(args[0], op.left) && implicitly(args[1], op.right) {
			candidates = append(candidates, op)
		}
	}
	op, _ := best(candidates, args[:])
	return op
}

// selectEnum: both sides must be of one enum type, or untyped.
func selectEnum(rows []*operator, l, r typ) *operator {
	if l.kind != kindUnknown && r.kind != kindUnknown && !l.same(r) {
		return nil
	}
	for _, op := range rows {
		if op.left == kindEnum {
			return op
		}
	}
	return nil
}

// overload is a row of the operator or function table.
type overload interface{ arg(i int) kind }

// best is func_select_candidate: each step keeps those that do best, until one
// is left. False: none is, or several.
func best[R overload](candidates []R, args []kind) (R, bool) {
	unknowns := 0
	for _, a := range args {
		if a == kindUnknown {
			unknowns++
		}
	}
	candidates = keepBest(candidates, args, func(a, want kind) bool { return a == want })
	if len(candidates) > 1 {
		candidates = keepBest(candidates, args, func(a, want kind) bool {
			return a == want || want.info().preferred && want.info().category == a.info().category
		})
	}
	if len(candidates) > 1 && unknowns > 0 {
		candidates = byCategory(candidates, args)
		if len(candidates) > 1 && unknowns < len(args) {
			candidates = asOthers(candidates, args)
		}
	}
	if len(candidates) != 1 {
		var none R
		return none, false
	}
	return candidates[0], true
}

// keepBest keeps the candidates for which most known arguments fit.
func keepBest[R overload](candidates []R, args []kind, fits func(a, want kind) bool) []R {
	var kept []R
	most := 0
	for _, row := range candidates {
		n := 0
		for i, a := range args {
			if a != kindUnknown && fits(a, row.arg(i)) {
				n++
			}
		}
		if n > most {
			most, kept = n, kept[:0]
		}
		if n == most {
			kept = append(kept, row)
		}
	}
	return kept
}

func (op *operator) arg(i int) kind {
	if i == 0 {
		return op.left
	}
	return op.right
}

// byCategory decides what untyped arguments are: strings if any candidate takes
// a string there, else what all agree on. Without agreement nothing changes.
func byCategory[R overload](candidates []R, args []kind) []R {
	slot, preferred := make([]category, len(args)), make([]bool, len(args))
	for i, a := range args {
		if a != kindUnknown {
			continue
		}
		conflict := false
		for _, row := range candidates {
			t := row.arg(i).info()
			switch {
			case slot[i] == 0, t.category == 'S' && slot[i] != 'S':
				slot[i], preferred[i] = t.category, t.preferred
			case t.category == slot[i]:
				preferred[i] = preferred[i] || t.preferred
			default:
				conflict = true
			}
		}
		if conflict && slot[i] != 'S' {
			return candidates
		}
	}
	var kept []R
	for _, row := range candidates {
		if fitsSlots(row, args, slot, preferred) {
			kept = append(kept, row)
		}
	}
	if len(kept) == 0 {
		return candidates
	}
	return kept
}

func fitsSlots[R overload](row R, args []kind, slot []category, preferred []bool) bool {
	for i, a := range args {
		t := row.arg(i).info()
		if a == kindUnknown && (t.category != slot[i] || preferred[i] && !t.preferred) {
			return false
		}
	}
	return true
}

// asOthers takes the untyped arguments to be of the type that all others have.
func asOthers[R overload](candidates []R, args []kind) []R {
	known := kindUnknown
	for _, a := range args {
		switch {
		case a == kindUnknown || a == known:
		case known != kindUnknown:
			return nil
		default:
			known = a
		}
	}
	var kept []R
	for _, row := range candidates {
		fits := true
		for i := range args {
			fits = fits && implicitly(known, row.arg(i))
		}
		if fits {
			kept = append(kept, row)
		}
	}
	if len(kept) == 1 {
		return kept
	}
	return nil
}

// commonType is select_common_type, as used for the elements of an IN list,
// COALESCE and the like. False: there is none.
func commonType(nodes []node) (typ, bool) {
	t := nodes[0].typeOf()
	for _, n := range nodes[1:] {
		u := n.typeOf()
		switch {
		case u.kind == kindUnknown || t.same(u):
		case t.kind == kindUnknown:
			t = u
		case t.kind.info().category != u.kind.info().category, t.kind == kindEnum, t.kind == kindOther:
			return typ{}, false
		case !t.kind.info().preferred && coercible(t, u) && !coercible(u, t):
			t = u
		}
	}
	if t.kind == kindUnknown {
		t.kind = kindText
	}
	for _, n := range nodes { // verify_common_type
		if !coercible(n.typeOf(), t) {
			return typ{}, false
		}
	}
	return t, true
}

// coercible reports whether from becomes to where no cast is written. Arrays do
// as their elements do.
func coercible(from, to typ) bool {
	switch {
	case from.kind == kindUnknown || from.same(to):
		return true
	case from.kind == kindArray && to.kind == kindArray:
		return from.elem != kindEnum && implicitly(from.elem, to.elem)
	case from.kind == kindEnum:
		return false
	}
	return implicitly(from.kind, to.kind)
}
