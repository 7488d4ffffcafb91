package expr

import (
	"fmt"
	"strings"
)

// AT TIME ZONE and timezone(). The zone is UTC by one of its names, a fixed offset
// as POSIX writes them, an interval, or one whose rules were asked of the server
// (zone_rules.go).

var zoneFunctions = []function{
	{name: "timezone", args: []kind{kindText, kindTimestamp}, result: kindTimestamptz, build: atZone(kindTimestamptz, func(v value, z *Zone) (value, error) {
		return moved(v, -1, z.local)
	})},
	{name: "timezone", args: []kind{kindText, kindTimestamptz}, result: kindTimestamp, build: atZone(kindTimestamp, func(v value, z *Zone) (value, error) {
		return moved(v, 1, z.utc)
	})},
	{name: "timezone", args: []kind{kindText, kindTimetz}, result: kindTimetz, build: atZone(kindTimetz, func(v value, z *Zone) (value, error) {
		return turnZone(v, -z.utc.east(0))
	})},
	{name: "timezone", args: []kind{kindInterval, kindTimestamp}, result: kindTimestamptz, build: atOffset(kindTimestamptz, fromZone)},
	{name: "timezone", args: []kind{kindInterval, kindTimestamptz}, result: kindTimestamp, build: atOffset(kindTimestamp, toZone)},
	{name: "timezone", args: []kind{kindInterval, kindTimetz}, result: kindTimetz, build: atOffset(kindTimetz, turnZone)},
}

// fromZone takes a timestamp as one of a zone that is west seconds behind UTC.
func fromZone(v value, west int64) (value, error) {
	if isInfiniteStamp(v.n) {
		return v, nil
	}
	return checkedStamp(v.n + west*second)
}

func toZone(v value, west int64) (value, error) { return fromZone(v, -west) }

// moved adds the offset that a zone has at a time, or takes it away.
func moved(v value, sign int64, o offsets) (value, error) {
	if isInfiniteStamp(v.n) {
		return v, nil
	}
	return checkedStamp(v.n + sign*o.east(v.n)*second)
}

// turnZone moves a time with time zone into another zone.
func turnZone(v value, west int64) (value, error) {
	micros, old := unpackTime(v)
	return packTime(clockOf(micros+(old-west)*second).n, west)
}

// atZone is timezone() with the name of a zone, which must be a constant.
func atZone(result kind, move func(v value, z *Zone) (value, error)) builder {
	return func(c *checker, at ast, args []node) (node, error) {
		name, ok := args[0].(*constant)
		if !ok {
			return nil, c.fail(at, "the time zone must be a constant")
		}
		z := fixed(0)
		if !name.value.null {
			var err error
			if z, err = c.zone(name); err != nil {
				return nil, err
			}
		}
		if result == kindTimetz && !z.constant() {
			return nil, c.fail(name.at, fmt.Sprintf("the time zone %q has no fixed offset: what it is for a time without a date depends on the clock", name.value.b))
		}
		return c.computed(at, &applied{t: typ{kind: result}, args: args, zone: z, sql: sqlCall("timezone"),
			apply: func(v []value) (value, error) { return move(v[1], z) }})
	}
}

// atOffset is timezone() with an interval, which is positive east of UTC.
func atOffset(result kind, move func(v value, west int64) (value, error)) builder {
	return strict("timezone", result, func(v []value) (value, error) {
		east := v[0].n / second
		if isInfiniteStamp(v[1].n) {
			return v[1], nil
		}
		if v[0].months != 0 || v[0].days != 0 || !isInt32(east) {
			return value{}, errRange
		}
		return move(v[1], -east)
	})
}

// utcNames are the names of UTC in the time zone data and in all sets of
// abbreviations that Postgres comes with.
var utcNames = map[string]bool{
	"utc": true, "gmt": true, "z": true, "zulu": true, "ut": true, "uct": true, "universal": true, "greenwich": true,
	"etc/utc": true, "etc/gmt": true, "etc/uct": true, "etc/zulu": true, "etc/universal": true, "etc/greenwich": true,
}

// fixedZone gives the seconds that a zone is behind UTC: POSIX counts to the west,
// so that UTC-02:00, and -02 alone, are two hours ahead.
func fixedZone(name string) (west int64, ok bool) {
	name = foldASCII(name)
	if utcNames[name] {
		return 0, true
	}
	if len(name) > 60 {
		return 0, false
	}
	offset, least, most := name, int64(-24), int64(24)
	switch {
	case strings.HasPrefix(name, "etc/gmt"): // a file for each hour
		offset, least, most = name[len("etc/gmt"):], -14, 12
		if strings.Contains(offset, ":") || len(offset) < 2 || offset[1] == '0' && offset != "+0" && offset != "-0" {
			return 0, false
		}
	case strings.HasPrefix(name, "utc"), strings.HasPrefix(name, "gmt"):
		offset = name[len("utc"):]
	case strings.HasPrefix(name, "<"):
		_, offset, ok = strings.Cut(name, ">")
		if !ok {
			return 0, false
		}
	}
	sign := int64(1)
	switch {
	case offset == "":
		return 0, false
	case offset[0] == '-':
		sign, offset = -1, offset[1:]
	case offset[0] == '+':
		offset = offset[1:]
	}
	seconds, ok := offsetSeconds(offset)
	seconds *= sign
	return seconds, ok && seconds >= least*3600 && seconds <= most*3600
}

// offsetSeconds reads h[h][:mm[:ss]].
func offsetSeconds(text string) (int64, bool) {
	parts := strings.Split(text, ":")
	total, scale := int64(0), int64(3600)
	for _, p := range parts {
		n, err := wholeNumber(p, 32)
		if p == "" || !isDigit(p[0]) || len(p) > 2 || err != nil || scale < 3600 && n > 59 || scale == 0 {
			return 0, false
		}
		total, scale = total+n*scale, scale/60
	}
	return total, len(parts) <= 3
}

// atTimeZone reads what follows AT: it is a call of timezone().
func (p *parser) atTimeZone(left ast, pos position) ast {
	if t := p.peek(); t.kind == tokIdent && t.text == "local" {
		p.refuse(int(pos), "AT LOCAL is not supported in this context")
		return nil
	}
	p.expectWord("time")
	p.expectWord("zone")
	zone := p.expr(precAt+1, false)
	return &astCall{pos, "timezone", []ast{zone, left}}
}
