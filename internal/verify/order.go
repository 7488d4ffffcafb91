package verify

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// message is an element of a log (http-protocol §13).
type message struct {
	Key      string             `json:"key"`
	Value    map[string]*string `json:"value"`
	OldValue map[string]*string `json:"old_value"`
	Headers  struct {
		Operation string   `json:"operation"`
		Control   string   `json:"control"`
		Relation  []string `json:"relation"`
		LSN       string   `json:"lsn"`
		Op        *uint64  `json:"op_position"`
		Last      bool     `json:"last"`
		TxIDs     []uint32 `json:"txids"`
		To        string   `json:"key_change_to"`
		From      string   `json:"key_change_from"`
		Xmax      string   `json:"xmax"`
		Seen      string   `json:"global_last_seen_lsn"`
	} `json:"headers"`
}

// place is a place in a log, <tx>_<op>.
type place struct{ tx, op uint64 }

// afterRows is 0_inf.
var afterRows = place{0, math.MaxUint64}

func parsePlace(text string) (p place, err error) {
	tx, op, _ := strings.Cut(text, "_")
	if p.tx, err = strconv.ParseUint(tx, 10, 64); err != nil {
		return p, fmt.Errorf("read the offset %q: %w", text, err)
	}
	if op == "inf" {
		p.op = math.MaxUint64
		return p, nil
	}
	if p.op, err = strconv.ParseUint(op, 10, 64); err != nil {
		return p, fmt.Errorf("read the offset %q: %w", text, err)
	}
	return p, nil
}

func (p place) String() string {
	if p.op == math.MaxUint64 {
		return fmt.Sprintf("%d_inf", p.tx)
	}
	return fmt.Sprintf("%d_%d", p.tx, p.op)
}

func (p place) before(q place) bool { return p.tx < q.tx || p.tx == q.tx && p.op < q.op }

// order looks at the form of a log, message by message and page by page.
type order struct {
	at      *place // of the page before; nil: nothing was read
	rows    bool   // the first rows are complete
	xmax    uint64 // of their snapshot
	change  place  // the newest change
	xid     uint32 // of its transaction
	last    bool   // it was the transaction's last
	changes int    // of this page
	moved   *message
	seen    uint64
	ended   bool // the page has said that it is up to date
}

// next takes the next message of a page.
func (o *order) next(m *message) error {
	h := &m.Headers
	switch {
	case o.ended:
		return errors.New("something follows up-to-date in one page")
	case h.Operation != "" && h.LSN == "":
		if o.rows || h.Operation != "insert" {
			return fmt.Errorf("%s of %s has no position, behind the first rows", h.Operation, m.Key)
		}
		return nil
	case h.Operation != "":
		return o.nextChange(m)
	case h.Control == "snapshot-end":
		if o.rows {
			return errors.New("the first rows end twice")
		}
		o.rows = true
		var err error
		if o.xmax, err = strconv.ParseUint(h.Xmax, 10, 64); err != nil {
			return fmt.Errorf("read the snapshot of the first rows: %w", err)
		}
		return nil
	case h.Control == "up-to-date":
		return o.upToDate(m)
	}
	return fmt.Errorf("there is a message that is not known: %+v", *h)
}

func (o *order) nextChange(m *message) error {
	h := &m.Headers
	if !o.rows {
		return fmt.Errorf("%s of %s comes before the end of the first rows", h.Operation, m.Key)
	}
	tx, err := strconv.ParseUint(h.LSN, 10, 64)
	if err != nil || h.Op == nil || len(h.TxIDs) != 1 {
		return fmt.Errorf("%s of %s lacks lsn, op_position or its one transaction", h.Operation, m.Key)
	}
	at := place{tx, *h.Op}
	o.changes++
	same := tx == o.change.tx
	switch {
	case !o.change.before(at):
		return fmt.Errorf("%s comes after %s", at, o.change)
	case same && o.last:
		return fmt.Errorf("%s is behind the last change of its transaction, which was %s", at, o.change)
	case same && h.TxIDs[0] != o.xid:
		return fmt.Errorf("%s has transaction %d, the change before it had %d", at, h.TxIDs[0], o.xid)
	case !same && o.change.tx != 0 && !o.last:
		return fmt.Errorf("the transaction of %s ends without a last change", o.change)
	case h.To != "" && (h.Last || h.Operation != "delete"):
		return fmt.Errorf("%s is no first half of a change of the key", at)
	case (h.From != "") != (o.moved != nil), h.From != "" && (h.Operation != "insert" || h.From != o.moved.Key ||
		m.Key != o.moved.Headers.To || !same || at.op != o.change.op+1):
		return fmt.Errorf("%s: the halves of a change of the key do not fit", at)
	case (at.op%2 == 1) != (h.From != ""):
		return fmt.Errorf("%s is odd, which is for second halves of changes of the key only", at)
	}
	o.change, o.last, o.xid, o.moved = at, h.Last, h.TxIDs[0], nil
	if h.To != "" {
		o.moved = m
	}
	return nil
}

func (o *order) upToDate(m *message) error {
	o.ended = true
	seen, err := strconv.ParseUint(m.Headers.Seen, 10, 64)
	switch {
	case err != nil:
		return fmt.Errorf("read an up-to-date message: %w", err)
	case !o.rows:
		return errors.New("it is up to date without the end of the first rows")
	case o.change.tx != 0 && !o.last:
		return fmt.Errorf("it is up to date in the middle of the transaction of %s", o.change)
	case seen < o.seen || seen < o.change.tx:
		return fmt.Errorf("it has seen %d, after %d and a change at %s", seen, o.seen, o.change)
	}
	o.seen = seen
	return nil
}

// page ends a page whose answer says that it ends at an offset.
func (o *order) page(offset string) error {
	to, err := parsePlace(offset)
	if err != nil {
		return err
	}
	fits := false
	switch from := o.at; {
	case o.changes > 0:
		fits = to == o.change
	case from == nil:
		fits = to == place{0, 0}
	case to == *from:
		fits = o.ended
	case to == afterRows:
		fits = from.tx == 0 && o.rows && o.ended
	default:
		fits = from.tx == 0 && to.tx == 0 && to.op == from.op+1
	}
	if !fits {
		return fmt.Errorf("a page that begins after %v ends at %s; its newest change is %s", o.at, to, o.change)
	}
	o.at, o.changes, o.ended = &to, 0, false
	return nil
}
