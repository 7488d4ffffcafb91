package pgquery

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/expr"
)

// A zone's rules are learned by asking for its offset, which is a function of the time
// with steps: at the points of a grid, and between two of them that differ by halving.
// Two changes that are closer than the grid and cancel each other would be missed; no
// zone has changes closer than four days (TestGrid).

// codeNoZone is what Postgres says of a zone that it does not know.
const codeNoZone = "22023"

// pinnedZones decides what EST means.
const pinnedZones = "SET LOCAL timezone_abbreviations = 'Default';\n"

// These queries are short and ask for nothing twice, and the planner thinks otherwise.
const (
	zoneSettings statement = pinnedZones + "SET LOCAL jit = off;\nSET LOCAL enable_memoize = off;\n"
	zonesDone    statement = "SET LOCAL jit TO DEFAULT;\nSET LOCAL enable_memoize TO DEFAULT"
)

// The grid: between 1800 and 2100, where zones have their histories, and around, where
// nothing is but rules for each year. In microseconds since 2000-01-01, as all times here.
const (
	aDay       = 86400 * 1000000
	closeFrom  = -73049 * aDay
	closeUntil = 36525 * aDay
	closeStep  = 2 * aDay
	wideStep   = 8 * aDay
	// For comparing with what is known already.
	closeLook = 3 * aDay
	wideLook  = 30 * aDay
)

// zoneOffset gives the zone $1 an offset at u: at the time u in UTC or, if $2, at the
// local time u. Sessions are in UTC: a cast changes nothing.
const zoneOffset = ` cross join lateral (
	select (date '2000-01-01' + (u / 86400000000)::int4) + (u % 86400000000) * interval '1 microsecond' as l offset 0
) t cross join lateral (
	select case when $2::bool then l - (l at time zone $1::text)::timestamp else (l::timestamptz at time zone $1::text) - l end as east offset 0
) o`

// zoneQuery finds the changes of a zone: the first point $3 of the grid with the offset
// there, then each change. The grid is $3 to $6, from $4 to $5 a narrow one.
const zoneQuery = `
with recursive grid(u) as (
	select generate_series($3::int8, $4::int8 - 1, $7::int8)
	union all select generate_series($4::int8, $5::int8 - 1, $8::int8)
	union all select generate_series($5::int8, $6::int8 - 1, $7::int8)
	union all select $6::int8 - 1
), seen as (
	select u, east, lag(u) over (order by u) as before, lag(east) over (order by u) as was from grid` + zoneOffset + `
), cell(lo, hi, was, east) as (
	select before, u, was, east from seen where was <> east
	union all
	select half.* from (
		select c.lo, c.hi, c.was, c.east as next, u, o.east
		from cell c cross join lateral (select (c.lo + c.hi) / 2 as u where c.hi - c.lo > 1) m` + zoneOffset + `
	) m cross join lateral (values (m.lo, m.u, m.was, m.east), (m.u, m.hi, m.east, m.next)) half(lo, hi, was, east)
	where half.was <> half.east
)
select hi, extract(epoch from east)::int4 from cell where hi - lo = 1
union all select u, extract(epoch from east)::int4 from seen where before is null
order by 1`

// sampleQuery tells the offset at many times from the first to the last that there are.
const sampleQuery = `
select u, extract(epoch from east)::int4 from generate_series($3::int8, $4::int8, $5::int8) u` + zoneOffset

const (
	sampleFrom  = -2451500 * aDay  // 4713 BC
	sampleUntil = 106700000 * aDay // 294131
	sampleStep  = 2366820000123457 // 75 years and something
)

// compareQuery counts the times at which a zone has another offset than is known: at the
// first and the last microsecond of each period, and at points between.
const compareQuery = `
select count(*) from unnest($3::int8[], $4::int8[], $5::int8[], $6::int4[]) p(lo, hi, step, known)
cross join lateral (select generate_series(p.lo, p.hi - 1, p.step) as u union all select p.hi - 1) g` + zoneOffset + `
where east <> p.known * interval '1 second'`

// asker is a transaction or a connection.
type asker interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// renewedZone returns a zone as the session has it: was, if that is how it is.
func renewedZone(ctx context.Context, tx pgx.Tx, name string, was *expr.Zone) (*expr.Zone, error) {
	var there bool
	// In a transaction of its own: an error ends it.
	sub, err := tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	err = sub.QueryRow(ctx, `select now() at time zone $1::text is not null`, name).Scan(&there)
	if end := sub.Rollback(ctx); end != nil {
		return nil, end
	}
	if hasCode(err, codeNoZone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if was != nil && was.Rules() != "" {
		if same, err := agrees(ctx, tx, was); err != nil || same {
			return was, err
		}
	}
	return askZone(ctx, tx, name)
}

// askZone learns a zone's rules.
func askZone(ctx context.Context, tx asker, name string) (*expr.Zone, error) {
	var lists [2][]expr.Change
	for i, local := range []bool{false, true} {
		rows, err := tx.Query(ctx, zoneQuery, name, local, expr.ZoneFrom, int64(closeFrom), int64(closeUntil), expr.ZoneUntil, int64(wideStep), int64(closeStep))
		if err != nil {
			return nil, err
		}
		if lists[i], err = pgx.CollectRows(rows, pgx.RowToStructByPos[expr.Change]); err != nil {
			return nil, err
		}
	}
	z, err := expr.NewZone(name, lists[0], lists[1])
	if err != nil {
		return expr.RefusedZone(name, err.Error()), nil
	}
	for _, local := range []bool{false, true} {
		at, err := odd(ctx, tx, z, local)
		if err != nil {
			return nil, err
		}
		if at != "" {
			return expr.RefusedZone(name, "the server's rules for it could not be learned ("+at+")"), nil
		}
	}
	return z, nil
}

// odd compares a zone that was learned with other answers of the server. It returns
// where they differ.
func odd(ctx context.Context, tx asker, z *expr.Zone, local bool) (at string, err error) {
	rows, err := tx.Query(ctx, sampleQuery, z.Name(), local, int64(sampleFrom), int64(sampleUntil), int64(sampleStep))
	if err != nil {
		return "", err
	}
	var c expr.Change
	_, err = pgx.ForEachRow(rows, []any{&c.At, &c.East}, func() error {
		if known := z.Offset(c.At, local); known != int64(c.East) && at == "" {
			at = fmt.Sprintf("at %d it is %d s from UTC instead of %d s", c.At, c.East, known)
		}
		return nil
	})
	return at, err
}

// agrees reports whether the session has the rules of z for its zone: at each change, and
// at points between that are closer to each other than changes are.
func agrees(ctx context.Context, tx asker, z *expr.Zone) (bool, error) {
	utc, local := z.Changes()
	for i, list := range [][]expr.Change{utc, local} {
		var differ int64
		lo, hi, step, east := periods(list)
		err := tx.QueryRow(ctx, compareQuery, z.Name(), i == 1, lo, hi, step, east).Scan(&differ)
		if err != nil || differ > 0 {
			return false, err
		}
	}
	return true, nil
}

// periods are those between changes, cut where the grid becomes another, as four arrays.
func periods(list []expr.Change) (lo, hi, step, east string) {
	var texts [4]strings.Builder
	add := func(numbers ...int64) {
		for i, n := range numbers {
			sep := byte(',')
			if texts[i].Len() == 0 {
				sep = '{'
			}
			texts[i].WriteByte(sep)
			texts[i].WriteString(strconv.FormatInt(n, 10))
		}
	}
	for i, c := range list {
		until := expr.ZoneUntil
		if i+1 < len(list) {
			until = list[i+1].At
		}
		for _, part := range [][3]int64{{expr.ZoneFrom, closeFrom, wideLook}, {closeFrom, closeUntil, closeLook}, {closeUntil, expr.ZoneUntil, wideLook}} {
			if from, to := max(c.At, part[0]), min(until, part[1]); from < to {
				add(from, to, part[2], int64(c.East))
			}
		}
	}
	return texts[0].String() + "}", texts[1].String() + "}", texts[2].String() + "}", texts[3].String() + "}"
}
