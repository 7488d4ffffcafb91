package client

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// visibility is what pg_current_snapshot() says about transactions.
type visibility struct {
	xmin, xmax uint64
	running    []uint64 // between the two
}

func newVisibility(xmin, xmax string, list []string) (visibility, error) {
	var v visibility
	var err, err2 error
	v.xmin, err = strconv.ParseUint(xmin, 10, 64)
	v.xmax, err2 = strconv.ParseUint(xmax, 10, 64)
	err = errors.Join(err, err2)
	for _, text := range list {
		x, err3 := strconv.ParseUint(text, 10, 64)
		v.running, err = append(v.running, x), errors.Join(err, err3)
	}
	if err != nil {
		return v, fmt.Errorf("%w: transactions of a snapshot: %w", ErrNotElectric, err)
	}
	return v, nil
}

// full widens the 32 bits of a transaction id that replication tells. The
// nearest to the snapshot is meant: Postgres keeps no older ones apart.
func (v visibility) full(xid uint32) uint64 {
	return uint64(int64(v.xmax) + int64(int32(xid-uint32(v.xmax))))
}

// sees reports whether the snapshot has what a transaction did.
func (v visibility) sees(xid uint32) bool {
	x := v.full(xid)
	return x < v.xmin || x < v.xmax && !slices.Contains(v.running, x)
}

// maxShown is how many transactions a shape remembers to have seen.
const maxShown = 4096

// transactions are those whose changes a state has.
type transactions struct {
	order   []uint32 // the newest last
	set     map[uint32]struct{}
	initial *visibility // of the first rows
}

func (t *transactions) add(xids []uint32) {
	if t.set == nil {
		t.set = map[uint32]struct{}{}
	}
	for _, x := range xids {
		if _, ok := t.set[x]; ok {
			continue
		}
		t.set[x] = struct{}{}
		t.order = append(t.order, x)
	}
	if n := len(t.order) - maxShown; n > 0 {
		for _, x := range t.order[:n] {
			delete(t.set, x)
		}
		t.order = slices.Delete(t.order, 0, n)
	}
}

func (t *transactions) has(xid uint32) bool {
	_, ok := t.set[xid]
	return ok || t.initial != nil && t.initial.sees(xid)
}
