package expr

// function is one row of the function table: a name with the types it takes, as
// in pg_proc. Functions of arrays stand in arrayFunctions, as their types depend
// on each other; those named like a type are casts (call).
type function struct {
	name   string
	args   []kind
	result kind
	// build makes the node for operands of those types. It may refuse.
	build func(c *checker, at ast, args []node) (node, error)
}

func (f *function) arg(i int) kind { return f.args[i] }

// functions is the function table by name. As with operators, a name has the rows
// that pg_proc has for the kinds we know, or is not there.
var functions map[string][]*function

func init() { // the table's functions look things up in it
	functions = map[string][]*function{}
	for _, family := range [][]function{letterFunctions, likeFunctions, outputFunctions(), timeFunctions, partFunctions(), zoneFunctions, powerFunctions()} {
		for _, f := range family {
			functions[f.name] = append(functions[f.name], &f)
		}
	}
}

// strict is the build of a function that gives NULL for NULL and needs to know
// nothing but its operands.
func strict(name string, result kind, apply func(args []value) (value, error)) func(*checker, ast, []node) (node, error) {
	return func(c *checker, at ast, args []node) (node, error) {
		return c.computed(at, &applied{t: typ{kind: result}, args: args, apply: apply, sql: sqlCall(name)})
	}
}

// call checks a function call. As in Postgres, f(x) is x::f if f is a type.
func (c *checker) call(a *astCall) (node, error) {
	if _, ok := arrayFunctions[a.name]; ok {
		return c.arrayCall(a)
	}
	args, err := c.exprs(a.args)
	if err != nil {
		return nil, err
	}
	if a.name == "concat" && len(args) > 0 {
		return c.concatAll(a, args)
	}
	known := false
	for _, f := range functions[a.name] {
		known = known || len(f.args) == len(args)
	}
	if !known {
		return c.castCall(a, args)
	}
	f := selectFunction(functions[a.name], args)
	if f == nil {
		return nil, c.noFunction(a, a.name, args)
	}
	for i := range args {
		if args[i], err = c.coerce(args[i], typ{kind: f.args[i]}); err != nil {
			return nil, err
		}
	}
	return f.build(c, a, args)
}

// exprs checks a list.
func (c *checker) exprs(list []ast) ([]node, error) {
	nodes := make([]node, len(list))
	for i, a := range list {
		n, err := c.expr(a)
		if err != nil {
			return nil, err
		}
		nodes[i] = n
	}
	return nodes, nil
}

// castCall reads int4(x) as x::int4.
func (c *checker) castCall(a *astCall, args []node) (node, error) {
	k, ok := kindNamed(a.name)
	if !ok || len(args) != 1 {
		return nil, c.fail(a, "unknown or unsupported function "+arity(a.name, len(args)))
	}
	if from := args[0].typeOf(); from.kind != kindUnknown && from.kind != k && from.kind != kindArray {
		if _, ok := findCast(from.kind, k); !ok {
			return nil, c.noFunction(a, a.name, args)
		}
	}
	return c.castTo(a, args[0], typ{kind: k})
}

// selectFunction chooses the row for the operands' types (manual, "Function Type
// Resolution"; parse_func.c). nil: none, or more than one is as good.
func selectFunction(rows []*function, nodes []node) *function {
	args := make([]kind, len(nodes))
	for i, n := range nodes {
		args[i] = n.typeOf().kind
	}
	var candidates []*function
	for _, f := range rows {
		if len(f.args) != len(args) {
			continue
		}
		exact, fits := true, true
		for i, k := range args {
			exact = exact && k == f.args[i]
			fits = fits && implicitly(k, f.args[i])
		}
		if exact {
			return f
		}
		if fits {
			candidates = append(candidates, f)
		}
	}
	f, _ := best(candidates, args)
	return f
}
