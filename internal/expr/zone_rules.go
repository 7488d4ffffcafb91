package expr

import (
	"encoding/binary"
	"errors"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Zones are the rules of time zones by their names in lower case. Nil stands for a
// zone that the server does not know. The evaluator has no rules of its own: those
// of the server count, and who calls Compile has asked for them.
type Zones map[string]*Zone

// Zone is a zone with a history: the offset that a server gives it at each time. It
// is immutable.
type Zone struct {
	name string
	// By the time in UTC, and by local time. The second follows from the first, but how
	// it does in gaps and overlaps is the server's own affair.
	utc, local offsets
	rules      string // both, encoded; "": not asked of any server
	refused    string // why it is not to be used
}

// Change says that from a moment on, in microseconds since 2000-01-01, a zone is so
// many seconds east of UTC.
type Change struct {
	At   int64
	East int32
}

// Rules are known from ZoneFrom to ZoneUntil. Before and after that the first and the
// last 400 years come again for ever: a zone has no transitions before its first and
// after its last one but those that follow a rule for each year, and calendars repeat
// after 400 years.
var (
	ZoneFrom  = daysOf(1400, 1, 1) * day
	ZoneUntil = daysOf(2550, 1, 1) * day
)

const zoneCycle = 146097 * day

// maxOffset is how far from UTC a zone may be, in seconds. No more is known of
// what Postgres does then.
const maxOffset = 24 * 3600

// offsets begin at ZoneFrom.
type offsets []Change

func (o offsets) east(t int64) int64 {
	switch {
	case t < ZoneFrom:
		t += ((ZoneFrom-t-1)/zoneCycle + 1) * zoneCycle
	case t >= ZoneUntil:
		t -= ((t-ZoneUntil)/zoneCycle + 1) * zoneCycle
	}
	i := sort.Search(len(o), func(i int) bool { return o[i].At > t })
	return int64(o[i-1].East)
}

func (o offsets) check() error {
	if len(o) == 0 || o[0].At != ZoneFrom || o[len(o)-1].At >= ZoneUntil {
		return errors.New("its rules do not cover the time they should")
	}
	for i, c := range o {
		switch {
		case i > 0 && (c.At <= o[i-1].At || c.East == o[i-1].East):
			return errors.New("its rules are out of order")
		case c.East > maxOffset || c.East < -maxOffset:
			return errors.New("it is more than a day away from UTC")
		}
	}
	return nil
}

// NewZone makes a zone of what a server does with times in UTC and local ones.
func NewZone(name string, utc, local []Change) (*Zone, error) {
	z := &Zone{name: foldASCII(name), utc: slices.Clip(utc), local: slices.Clip(local)}
	if err := errors.Join(z.utc.check(), z.local.check()); err != nil {
		return nil, err
	}
	var b []byte
	for _, list := range []offsets{z.utc, z.local} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		last := ZoneFrom
		for _, c := range list {
			b = binary.AppendVarint(binary.AppendUvarint(b, uint64(c.At-last)), int64(c.East))
			last = c.At
		}
	}
	z.rules = string(b)
	return z, nil
}

// RefusedZone stands for a zone of the server that cannot be used, and says why.
func RefusedZone(name, why string) *Zone { return &Zone{name: foldASCII(name), refused: why} }

var errRules = errors.New("the rules of a time zone are damaged")

// ReadZone makes a zone of its Rules.
func ReadZone(name, rules string) (*Zone, error) {
	b := []byte(rules)
	var lists [2][]Change
	for i := range lists {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)) {
			return nil, errRules
		}
		b = b[size:]
		lists[i] = make([]Change, n)
		last := ZoneFrom
		for k := range lists[i] {
			step, size := binary.Uvarint(b)
			if size <= 0 {
				return nil, errRules
			}
			east, more := binary.Varint(b[size:])
			if more <= 0 {
				return nil, errRules
			}
			last += int64(step)
			lists[i][k] = Change{last, int32(east)}
			b = b[size+more:]
		}
	}
	return NewZone(name, lists[0], lists[1])
}

// Name is the zone's name in lower case.
func (z *Zone) Name() string { return z.name }

// Rules are what the zone does, as ReadZone takes it. Two zones with equal rules do
// the same.
func (z *Zone) Rules() string { return z.rules }

// Changes are the zone's offsets by the time in UTC and by local time. They must not be
// changed.
func (z *Zone) Changes() (utc, local []Change) { return z.utc, z.local }

// Offset is how many seconds the zone is east of UTC at a time in UTC, or at a local one.
func (z *Zone) Offset(t int64, local bool) int64 {
	if local {
		return z.local.east(t)
	}
	return z.utc.east(t)
}

// constant: the zone has one offset, and so needs no clock.
func (z *Zone) constant() bool {
	return len(z.utc) == 1 && len(z.local) == 1 && z.utc[0] == z.local[0]
}

// fixed is a zone that is what it is on any server.
func fixed(east int64) *Zone {
	list := offsets{{ZoneFrom, int32(east)}}
	return &Zone{utc: list, local: list}
}

// zoneName: what a server is asked for. Others may look for files of names that we
// have not thought of.
var zoneName = regexp.MustCompile(`^[a-zA-Z0-9_/+:.,;<>-]{1,60}$`)

// yearRule is what POSIX has for zones that change twice a year. Other forms can make
// changes that are too close to each other to be found by asking.
var yearRule = regexp.MustCompile(`^[^,;]+[,;]m(\d{1,2})\.\d\.\d(?:/[-+]?[\d:]+)?,m(\d{1,2})\.\d\.\d(?:/[-+]?[\d:]+)?$`)

// zone finds the zone that a constant names.
func (c *checker) zone(name *constant) (*Zone, error) {
	text := string(name.value.b)
	if west, ok := fixedZone(text); ok {
		return fixed(-west), nil
	}
	folded := foldASCII(text)
	if !zoneName.MatchString(text) {
		return nil, c.fail(name.at, "the time zone "+strconv.Quote(text)+" is not supported, as no name of a zone is like that")
	}
	if strings.ContainsAny(folded, ",;") && !steady(folded) {
		return nil, c.fail(name.at, "the time zone "+strconv.Quote(text)+" is not supported: of rules, only those like CET-1CEST,M3.5.0,M10.5.0/3 with two months between the changes are")
	}
	z, known := c.zones[folded]
	switch {
	case !known:
		e := errorAt(c.src, name.at.at(), "the rules of the time zone "+strconv.Quote(text)+" are not known here")
		e.Zone = folded
		return nil, e
	case z == nil:
		return nil, c.fail(name.at, "time zone "+strconv.Quote(text)+" not recognized")
	case z.refused != "":
		return nil, c.fail(name.at, "the time zone "+strconv.Quote(text)+" is not supported: "+z.refused)
	}
	return z, nil
}

// steady reports whether a zone that is written as a rule keeps its offset for a month
// at the least.
func steady(rule string) bool {
	m := yearRule.FindStringSubmatch(rule)
	if m == nil {
		return false
	}
	from, _ := strconv.Atoi(m[1]) // one or two digits
	to, _ := strconv.Atoi(m[2])
	apart := (from - to + 24) % 12
	return min(apart, 12-apart) >= 2
}

// zonesOf collects the zones with a history in a tree.
func zonesOf(n node) []*Zone {
	var list []*Zone
	var walk func(node)
	walk = func(n node) {
		if a, ok := n.(*applied); ok && a.zone != nil && a.zone.rules != "" && !slices.Contains(list, a.zone) {
			list = append(list, a.zone)
		}
		for _, o := range n.operands() {
			walk(o)
		}
	}
	walk(n)
	return list
}
