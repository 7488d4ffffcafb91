package expr

// CastNames lists the cast table for comparison with pg_cast.
func CastNames() []string {
	var out []string
	for _, r := range castTable {
		name := r.from.info().name + " " + r.to.info().name
		if r.implicit {
			name += " implicit"
		}
		out = append(out, name)
	}
	return out
}

// OperatorNames lists the operator table for comparison with pg_operator.
func OperatorNames() []string {
	var out []string
	for name, rows := range operators {
		for _, op := range rows {
			if op.left != kindEnum {
				out = append(out, name+" "+op.left.info().name+" "+op.right.info().name)
			}
		}
	}
	return out
}
