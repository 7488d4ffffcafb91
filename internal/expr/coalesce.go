package expr

import "github.com/spillway-sync/spillway/internal/wal"

// coalesce checks COALESCE: all operands take their common type.
func (c *checker) coalesce(a *astCoalesce) (node, error) {
	args := make([]node, len(a.args))
	for i, arg := range a.args {
		n, err := c.expr(arg)
		if err != nil {
			return nil, err
		}
		args[i] = n
	}
	common, ok := commonType(args)
	if !ok {
		return nil, c.fail(a, "COALESCE types "+args[0].typeOf().String()+" and "+args[len(args)-1].typeOf().String()+" cannot be matched")
	}
	if common.kind == kindOther || common.kind == kindArray {
		return nil, c.fail(a, "COALESCE of type "+common.String()+" is not supported")
	}
	for i := range args {
		n, err := c.coerce(args[i], common)
		if err != nil {
			return nil, err
		}
		args[i] = n
	}
	return c.computed(a, &applied{t: common, args: args, lax: true, first: true, sql: sqlCall("COALESCE")})
}

// firstOf evaluates operands up to the first that is not NULL.
func firstOf(args []valueFn) valueFn {
	return func(row wal.Tuple) (value, error) {
		for _, f := range args {
			if v, err := f(row); err != nil || !v.null {
				return v, err
			}
		}
		return value{null: true}, nil
	}
}
