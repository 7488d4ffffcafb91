package expr

// powers are the rows of ^, and of the functions that are it.
var powers = []struct {
	kind   kind
	either func(a, b value) ([]value, error)
}{
	{kindFloat8, floatPower},
	{kindNumeric, numericPower},
}

func powerFunctions() []function {
	var out []function
	for _, name := range []string{"power", "pow"} {
		for _, p := range powers {
			out = append(out, function{name: name, args: []kind{p.kind, p.kind}, result: p.kind,
				build: func(c *checker, at ast, args []node) (node, error) {
					return c.doubtful(at, &applied{t: typ{kind: p.kind}, args: args, sql: sqlCall(name)}, p.either)
				}})
		}
	}
	return out
}
