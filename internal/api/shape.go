package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// readyTimeout is how long a request waits for the service to become active.
const readyTimeout = 5 * time.Second

// serveShape answers /v1/shape. The order of the steps decides which of several
// faults a client is told of, and is that of http-protocol §4.
func (x *exchange) serveShape() {
	var err error
	x.q, err = parseQuery(x.r.URL.RawQuery)
	if !x.authorized() {
		x.refuse(unauthorized())
		return
	}
	x.allowOrigin(shapeMethods)
	if err != nil {
		x.send(http.StatusBadRequest, nil)
		return
	}
	x.w.Header()["Content-Type"] = []string{typeJSON}
	switch x.r.Method {
	case http.MethodDelete:
		err = x.delete()
	default:
		err = x.admitted()
	}
	if err != nil {
		x.fail(err)
	}
}

// fail ends a request that could not be answered as asked.
func (x *exchange) fail(err error) {
	if p, ok := errors.AsType[*problem](err); ok && !x.began {
		// net/http takes a body that is late for a client that has left, and it may
		// still listen.
		x.refuse(p)
		return
	}
	if x.r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client has left
	}
	x.log.Error("serve a shape", "err", err)
	if x.began {
		panic(http.ErrAbortHandler)
	}
	x.refuse(internalError())
}

// admitted answers all methods but DELETE, if there is room.
func (x *exchange) admitted() error {
	if err := x.admit(); err != nil {
		return err
	}
	defer func() {
		if !x.taken {
			x.leave()
		}
	}()
	if x.r.Method == http.MethodPost {
		if err := x.readBody(); err != nil {
			return err
		}
	}
	return x.get()
}

// get answers GET and HEAD, and POST once its body is part of the query.
func (x *exchange) get() error {
	if err := x.ready(); err != nil {
		return err
	}
	req, err := parseRequest(x.q)
	if err != nil {
		return err
	}
	def, err := x.define(req)
	if err != nil {
		return err
	}
	var sub *shape.Subset
	if req.subset {
		if sub, err = x.subset(req, def); err != nil {
			return err
		}
	}
	sh, err := x.resolve(req, def)
	if err != nil {
		return err
	}
	v := &visit{exchange: x, req: req, def: def, sh: sh, sub: sub}
	return v.serve()
}

func (x *exchange) ready() error {
	ctx, cancel := context.WithTimeout(x.r.Context(), readyTimeout)
	defer cancel()
	err := x.src.Ready(ctx)
	if n, ok := errors.AsType[*NotReady](err); ok {
		return notReady(n.Reason)
	}
	return err
}

// resolve finds the shape a request is about, or makes it (http-protocol §15).
func (x *exchange) resolve(req *request, def *shape.Def) (*registry.Shape, error) {
	if req.start == fromOffset {
		if sh := x.src.Find(def); sh != nil && sh.Named(req.handle) {
			return sh, nil
		}
	}
	sh, err := x.src.Create(x.r.Context(), def)
	if err != nil {
		return nil, x.creation(err)
	}
	if req.start == fromOffset && !sh.Named(req.handle) {
		return nil, mustRefetch(sh.Handle(), x.fate(req.handle))
	}
	return sh, nil
}

// Reasons of a 409 that are not those of a removal.
const (
	reasonUnknown = shape.Reason("unknown_handle")   // it never lived here, or long ago
	reasonOther   = shape.Reason("other_definition") // it is another shape's
)

// fate says why a handle cannot be used for what was asked with it.
func (x *exchange) fate(h shape.Handle) shape.Reason {
	if sh := x.src.ByHandle(h); sh != nil {
		if reason, gone := sh.Removed(); gone {
			return reason
		}
		return reasonOther
	}
	if reason, known := x.src.Fate(h); known {
		return reason
	}
	return reasonUnknown
}

// creation turns an error of Source.Create into what the client is told.
func (x *exchange) creation(err error) error {
	switch {
	case errors.Is(err, ErrUnreachable):
		return unreachable()
	case x.r.Context().Err() != nil:
		return err
	}
	if n, ok := errors.AsType[*NotReady](err); ok {
		return notReady(n.Reason)
	}
	x.log.Error("create a shape", "err", err)
	return createFailed()
}

// visit is a valid request together with the shape it is about.
type visit struct {
	*exchange
	req *request
	def *shape.Def // made now: it describes the table of today
	sh  *registry.Shape
	sub *shape.Subset // nil: the log is asked for
}

func (v *visit) serve() error {
	v.sh.Watch(time.Now())
	v.watched = v.sh
	if v.req.live {
		// It may wait for long: what it asked with need not wait with it, a large
		// WHERE clause least of all. Only answers that are not live tell the schema.
		v.def, v.q, v.req = v.sh.Def(), nil, v.req.waiting()
	}
	if ill, is := v.sh.Illness(); is && v.sh.State() == registry.Parked {
		return parked(ill, time.Now())
	}
	if err := v.awaitSnapshot(); err != nil {
		return err
	}
	v.settle()
	if v.sub != nil {
		return v.serveSubset()
	}
	switch v.req.start {
	case fromBeginning:
		return v.serveChunk(0)
	case fromNow:
		return v.serveNow()
	}
	after := v.req.at
	if after.Tx == 0 && after.Op != wal.Inf {
		if v.req.sse {
			if served, err := v.streamChunks(after.Op); served || err != nil {
				return err
			}
			return v.serveLog(wal.AfterSnapshot)
		}
		if served, err := v.serveNextChunk(after.Op); served || err != nil {
			return err
		}
		after = wal.AfterSnapshot
	}
	return v.serveLog(after)
}

// gone returns the 409 of a shape that was removed, or nil.
func (v *visit) gone() error {
	if _, removed := v.sh.Removed(); removed {
		return v.moved()
	}
	return nil
}

// moved is the 409 of a shape that was removed. It names the shape that took its
// place if there is one already.
func (v *visit) moved() *problem {
	reason, _ := v.sh.Removed()
	var instead shape.Handle
	if sh := v.src.Find(v.def); sh != nil && sh.Handle() != v.sh.Handle() && sh.Handle() != v.req.handle {
		instead = sh.Handle()
	}
	return mustRefetch(instead, reason)
}
