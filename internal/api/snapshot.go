package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shapelog"
	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	// chunkTimeout is how long a request waits for a chunk to be begun.
	chunkTimeout = 60 * time.Second
	// stallTimeout is how long a body may stand still because the snapshot
	// does.
	stallTimeout = 90 * time.Second
	// settleTime is how long an answer waits for the first chunk to be whole. Rows that
	// cannot be read are then refused with the reason; later, the body can only be
	// cut, and a client that asks again learns nothing.
	settleTime = 100 * time.Millisecond
)

// awaitSnapshot waits until the shape's snapshot has begun: from then on every
// change is in the snapshot or in the log.
func (v *visit) awaitSnapshot() error {
	ready := v.sh.Ready()
	limit := time.NewTimer(chunkTimeout)
	defer limit.Stop()
	select {
	case <-ready:
	case <-limit.C:
		return refuse(http.StatusServiceUnavailable, "Timed out while waiting for the snapshot to begin", 10)
	case <-v.stopping:
		select {
		case <-ready: // what is there is served to the end
		default:
			return refuse(http.StatusServiceUnavailable, "The server is stopping", 5)
		}
	case <-v.r.Context().Done():
		return context.Cause(v.r.Context())
	}
	if err := v.sh.SnapshotErr(); err != nil {
		return v.snapshotFailed(err)
	}
	return v.gone()
}

// serveNextChunk answers a request for what comes after snapshot chunk k. It
// has not done so (false) if that chunk is known to be the last one.
func (v *visit) serveNextChunk(k uint64) (served bool, err error) {
	next := chunkNumber(k + 1)
	snap, err := v.sh.Snapshot()
	if err != nil {
		return false, v.snapshotFailed(err)
	}
	n, complete := snap.Chunks()
	if next < n {
		return true, v.serveChunk(next)
	}
	if complete {
		return false, nil
	}
	p := &page{handle: v.sh.Handle(), offset: wal.Offset{Op: k + 1}.String()}
	if v.notModified(v.req, v.def, p) {
		return true, nil
	}
	switch err = v.awaitChunk(snap.Chunk(next)); {
	case err == nil:
		return true, v.serveChunk(next)
	case !errors.Is(err, shapelog.ErrNoChunk):
		return false, err
	}
	// There was no further chunk: the client asks again from behind the last.
	v.setPage(v.req, v.def, p, http.StatusOK)
	v.send(http.StatusOK, []byte("[]"))
	return true, nil
}

// snapshotFailed is what a client is told of first rows that could not be read.
func (v *visit) snapshotFailed(err error) error {
	if errors.Is(err, registry.ErrRemoved) {
		return v.moved()
	}
	p := snapshotProblem(err)
	if p.status == http.StatusInternalServerError {
		v.log.Error("read a shape's first rows", "handle", v.sh.Handle(), "err", err)
	}
	return p
}

// chunkNumber keeps a client's number in the range of chunk numbers.
func chunkNumber(k uint64) int { return int(min(k, math.MaxInt32)) }

// awaitChunk waits until a chunk has its first byte. The error is ErrNoChunk or
// what to tell the client.
func (v *visit) awaitChunk(c shapelog.Chunk) error {
	ctx, cancel := context.WithTimeout(v.r.Context(), chunkTimeout)
	defer cancel()
	err := c.WaitStarted(ctx)
	switch {
	case err == nil, errors.Is(err, shapelog.ErrNoChunk):
		return err
	case v.r.Context().Err() != nil:
		return context.Cause(v.r.Context())
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusServiceUnavailable, "Timed out while waiting for the snapshot's next chunk", 10)
	}
	return v.snapshotFailed(err)
}

// awaitWhole waits a little for the end of a chunk.
func (v *visit) awaitWhole(c shapelog.Chunk) error {
	ctx, cancel := context.WithTimeout(v.r.Context(), settleTime)
	defer cancel()
	err := c.WaitClosed(ctx)
	switch {
	case err == nil, v.r.Context().Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return nil
	case v.r.Context().Err() != nil:
		return context.Cause(v.r.Context())
	}
	return v.snapshotFailed(err)
}

// serveChunk answers with one chunk of the snapshot, also while it is being
// written.
func (v *visit) serveChunk(k int) error {
	p := &page{handle: v.sh.Handle(), offset: wal.Offset{Op: uint64(k)}.String()}
	if v.notModified(v.req, v.def, p) {
		return nil
	}
	snap, err := v.sh.Snapshot()
	if err != nil {
		return v.snapshotFailed(err)
	}
	chunk := snap.Chunk(k)
	if err := v.awaitChunk(chunk); err != nil {
		return err
	}
	if k == 0 {
		if err := v.awaitWhole(chunk); err != nil {
			return err
		}
	}
	size, closed, err := chunk.Size()
	if err != nil {
		if gone := v.gone(); gone != nil {
			return gone // and its files with it
		}
		return err
	}
	length := int64(-1)
	if closed {
		length = size + 2
	}
	v.encode(length, true)
	v.setPage(v.req, v.def, p, http.StatusOK)
	return v.sendArray(length, func(out *sink) error {
		if err := v.copyChunk(out, chunk); err != nil {
			return fmt.Errorf("send snapshot chunk %d of shape %s: %w", k, v.sh.Handle(), err)
		}
		out.mustWrite([]byte{']'})
		return nil
	})
}

// copyChunk copies the chunk's bytes as they come, and gives up when they do
// not come for too long.
func (v *visit) copyChunk(out io.Writer, c shapelog.Chunk) error {
	ctx, cancel := context.WithCancel(v.r.Context())
	defer cancel()
	stall := time.AfterFunc(stallTimeout, cancel)
	defer stall.Stop()
	_, err := c.WriteTo(ctx, progress{out, stall}, v.flush)
	return err
}

// progress is a writer that winds a timer up with every write.
type progress struct {
	w     io.Writer
	stall *time.Timer
}

func (p progress) Write(b []byte) (int, error) {
	p.stall.Reset(stallTimeout)
	return p.w.Write(b)
}
