package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
)

// delete removes a shape (http-protocol §19).
func (x *exchange) delete() error {
	ctx, cancel := context.WithTimeout(x.r.Context(), readyTimeout)
	defer cancel()
	err := x.src.Active(ctx)
	if n, ok := errors.AsType[*NotReady](err); ok {
		return notReady(n.Reason)
	}
	if err != nil {
		return err
	}
	if !x.cfg.AllowDeletion {
		return deleteNotAllowed()
	}
	sh, err := x.condemned()
	if err != nil {
		return err
	}
	x.src.Delete(sh)
	gone(ctx, sh)
	h := x.w.Header()
	h[hCacheControl] = []string{"no-cache"}
	h[hHasData] = []string{"true"}
	x.send(http.StatusAccepted, nil)
	return nil
}

// gone waits until a shape is no more, so that whoever removed it does not find it
// again. If that takes too long it is still to be: hence 202.
func gone(ctx context.Context, sh *registry.Shape) {
	for {
		changed := sh.Changed()
		if _, removed := sh.Removed(); removed {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// condemned finds the shape to remove, by its definition, its handle, or both.
func (x *exchange) condemned() (*registry.Shape, error) {
	req := &request{}
	_, handle, faults := req.parseTypes(x.q)
	for _, name := range []string{"live", "live_sse"} {
		if _, ok := x.q.boolean(name); !ok {
			faults[name] = []string{msgInvalid}
		}
	}
	switch {
	case len(faults) > 0:
		return nil, invalidFields(faults)
	case req.table == "" && handle == "":
		return nil, invalid("handle", "can't be blank when shape definition is missing")
	case req.table == "":
		sh := x.src.ByHandle(shape.Handle(handle))
		if sh == nil {
			return nil, noShape()
		}
		if _, gone := sh.Removed(); gone {
			return nil, noShape()
		}
		return sh, nil
	}
	def, err := x.define(req)
	if err != nil {
		return nil, err
	}
	sh := x.src.Find(def)
	switch {
	case sh == nil:
		return nil, noShape()
	case handle != "" && !sh.Named(shape.Handle(handle)):
		return nil, handleMismatch()
	}
	return sh, nil
}
