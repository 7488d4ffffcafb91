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
	return best(candidates, args)
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

// best is func_select_candidate: each step keeps those that do best, until one
// is left.
func best(candidates []*operator, args [2]kind) *operator {
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
		if len(candidates) > 1 && unknowns == 1 {
			candidates = asOther(candidates, args)
		}
	}
	if len(candidates) != 1 {
		return nil
	}
	return candidates[0]
}

// keepBest keeps the candidates for which most known arguments fit.
func keepBest(candidates []*operator, args [2]kind, fits func(a, want kind) bool) []*operator {
	var kept []*operator
	most := 0
	for _, op := range candidates {
		n := 0
		for i, a := range args {
			if a != kindUnknown && fits(a, op.arg(i)) {
				n++
			}
		}
		if n > most {
			most, kept = n, kept[:0]
		}
		if n == most {
			kept = append(kept, op)
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
func byCategory(candidates []*operator, args [2]kind) []*operator {
	var slot [2]category
	var preferred [2]bool
	for i, a := range args {
		if a != kindUnknown {
			continue
		}
		conflict := false
		for _, op := range candidates {
			t := op.arg(i).info()
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
	var kept []*operator
	for _, op := range candidates {
		if fitsSlots(op, args, slot, preferred) {
			kept = append(kept, op)
		}
	}
	if len(kept) == 0 {
		return candidates
	}
	return kept
}

func fitsSlots(op *operator, args [2]kind, slot [2]category, preferred [2]bool) bool {
	for i, a := range args {
		t := op.arg(i).info()
		if a == kindUnknown && (t.category != slot[i] || preferred[i] && !t.preferred) {
			return false
		}
	}
	return true
}

// asOther takes the one untyped argument to be of the other's type.
func asOther(candidates []*operator, args [2]kind) []*operator {
	known := args[0]
	if known == kindUnknown {
		known = args[1]
	}
	var kept []*operator
	for _, op := range candidates {
		if implicitly(known, op.left) && implicitly(known, op.right) {
			kept = append(kept, op)
		}
	}
	if len(kept) == 1 {
		return kept
	}
	return nil
}

// commonType is select_common_type, as used for the elements of an IN list.
// False: there is none.
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
		case !t.kind.info().preferred && implicitly(t.kind, u.kind) && !implicitly(u.kind, t.kind):
			t = u
		}
	}
	if t.kind == kindUnknown {
		t.kind = kindText
	}
	for _, n := range nodes { // verify_common_type
		if k := n.typeOf().kind; !implicitly(k, t.kind) {
			return typ{}, false
		}
	}
	return t, true
}
