package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
)

// catalogueTimeout is how long a client waits for a table to be looked up. The
// answer comes from a cache unless the table is new.
const catalogueTimeout = 5 * time.Second

// define makes the definition a request speaks of: the last groups of checks,
// and the only ones that need the catalogue.
func (x *exchange) define(req *request) (*shape.Def, error) {
	schema, name, err := shape.ParseRelation(req.table)
	if err != nil {
		return nil, invalid("table", err.Error())
	}
	t, err := x.table(schema, name)
	if err != nil {
		return nil, err
	}
	p := req.params
	if p.Columns, err = namesOf("columns", req.columns); err != nil {
		return nil, err
	}
	if p.Queryable, err = namesOf("queryable_columns", req.queryable); err != nil {
		return nil, err
	}
	if err := checkZeroBytes(&p); err != nil {
		return nil, err
	}
	var def *shape.Def
	err = x.withZones(&p.Zones, func() (err error) {
		def, err = shape.BuildDef(t, p)
		return err
	})
	if fe, ok := errors.AsType[*shape.FieldError](err); ok {
		return nil, invalid(fe.Field, fe.Msg)
	} else if err != nil {
		return nil, fmt.Errorf("build the definition: %w", err)
	}
	return def, nil
}

func (x *exchange) table(schema, name string) (*shape.Table, error) {
	if strings.ContainsRune(schema+name, 0) {
		return nil, noTable(schema, name) // Postgres could not even be asked
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), catalogueTimeout)
	defer cancel()
	t, err := x.src.Table(ctx, schema, name)
	switch {
	case err == nil:
		return t, nil
	case errors.Is(err, ErrNoTable):
		return nil, noTable(schema, name)
	case errors.Is(err, ErrUnreachable), errors.Is(err, context.DeadlineExceeded):
		return nil, unreachable()
	}
	return nil, fmt.Errorf("look up a table: %w", err)
}

const (
	// zoneTimeout is how long a client waits for the rules of a time zone that nobody has
	// named before. Later ones do not wait.
	zoneTimeout = 20 * time.Second
	// maxZones may be named by one clause.
	maxZones = 16
)

// withZones calls build, which checks a clause, and again with the rules of each time zone
// that it lacks: the only ones that count are the server's.
func (x *exchange) withZones(zones *expr.Zones, build func() error) error {
	for {
		err := build()
		fe, ok := errors.AsType[*shape.FieldError](err)
		if !ok || fe.Zone == "" {
			return err
		}
		if len(*zones) == maxZones {
			return &shape.FieldError{Field: fe.Field, Msg: fmt.Sprintf("More than %d time zones are not supported", maxZones)}
		}
		z, err := x.zone(fe.Zone)
		if err != nil {
			return err
		}
		if *zones == nil {
			*zones = make(expr.Zones)
		}
		(*zones)[fe.Zone] = z
	}
}

func (x *exchange) zone(name string) (*expr.Zone, error) {
	ctx, cancel := context.WithTimeout(x.r.Context(), zoneTimeout)
	defer cancel()
	z, err := x.src.Zone(ctx, name)
	switch {
	case err == nil:
		return z, nil
	case errors.Is(err, ErrUnreachable), errors.Is(err, context.DeadlineExceeded):
		return nil, unreachable()
	}
	return nil, fmt.Errorf("look up a time zone: %w", err)
}

func namesOf(field string, v *value) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	names, err := v.columnNames()
	if err != nil {
		return nil, invalid(field, err.Error())
	}
	return names, nil
}

// checkZeroBytes refuses what Postgres cannot hold in any text, in its words:
// otherwise the fault would only come up in the snapshot's query.
func checkZeroBytes(p *shape.Params) error {
	if p.Where == "" {
		return nil // then params are not looked at
	}
	const msg = `invalid byte sequence for encoding "UTF8": 0x00`
	if strings.ContainsRune(p.Where, 0) {
		return invalid("where", msg)
	}
	for _, v := range p.Params {
		if strings.ContainsRune(v, 0) {
			return invalid("params", msg)
		}
	}
	return nil
}
