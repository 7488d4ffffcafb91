package chaos

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
)

// ofShape are the faults that need a shape; the others must not have one.
var ofShape = []Kind{Block, Spin, Flood, Panic, PanicRow, Drip}

// counted are the faults that can be told how often to strike.
var counted = []Kind{Block, Spin, Panic}

// check makes a fault of a request, and reads how long it lasts; 0: until it is
// lifted.
func (c *Faults) check(req Request) (*fault, time.Duration, error) {
	f := &fault{req: req, ended: make(chan struct{})}
	if !slices.Contains(Kinds, req.Fault) {
		return nil, 0, fmt.Errorf("fault: %q is none: use one of %s", req.Fault, list(Kinds))
	}
	if slices.Contains(ofShape, req.Fault) {
		if err := c.aim(f); err != nil {
			return nil, 0, err
		}
	} else if req.Shape != "" {
		return nil, 0, fmt.Errorf("shape: %s hits every shape: leave it out", req.Fault)
	}
	if req.Heirs && req.Shape == "" {
		return nil, 0, fmt.Errorf("heirs: %s hits every shape: leave it out", req.Fault)
	}
	if req.Fault != PanicRow && req.Key != "" {
		return nil, 0, fmt.Errorf("key: only %s has one: leave it out", PanicRow)
	}
	switch {
	case req.Times < 0:
		return nil, 0, fmt.Errorf("times: %d is not a number of strikes: leave it out, or use 1 or more", req.Times)
	case req.Times > 0 && !slices.Contains(counted, req.Fault):
		return nil, 0, fmt.Errorf("times: only %s can be counted: leave it out and end %s with \"for\" or DELETE", list(counted), req.Fault)
	case req.Times == 0 && req.Fault == Panic:
		f.req.Times = 1
	}
	if req.For == "" {
		return f, 0, nil
	}
	limit, err := time.ParseDuration(req.For)
	if err != nil || limit <= 0 {
		return nil, 0, fmt.Errorf("for: %q is not a time: use one such as 90s or 500ms, or leave it out and lift the fault with DELETE", req.For)
	}
	return f, limit, nil
}

// aim finds the shape that a fault is about.
func (c *Faults) aim(f *fault) error {
	req := f.req
	if req.Shape == "" {
		return fmt.Errorf("shape: %s is a fault of one shape: give its handle (the header electric-handle of its answers)", req.Fault)
	}
	target, ok := c.opts.Find(req.Shape)
	if !ok {
		return fmt.Errorf("shape: no shape has the handle %q: the header electric-handle of its answers names it", req.Shape)
	}
	f.target, f.key = target, target.Def.Key()
	if req.Fault != PanicRow {
		return nil
	}
	f.prefix = append(shape.AppendKeyRelation(nil, target.Def.Table), '/')
	if !bytes.HasPrefix([]byte(req.Key), f.prefix) {
		return fmt.Errorf(`key: %q is not a row of this shape: give it as "key" of its messages has it, beginning with %s`, req.Key, f.prefix)
	}
	return nil
}

func list(kinds []Kind) string {
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}
