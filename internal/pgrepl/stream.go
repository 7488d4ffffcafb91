package pgrepl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/spillway-sync/spillway/internal/wal"
)

const (
	writeTimeout = 10 * time.Second // for a status frame of 39 bytes
	startTimeout = 30 * time.Second // for the answer to START_REPLICATION
	byeTimeout   = 2 * time.Second  // for the good-bye
)

// Stream streams from a position on (0: from where the slot is) until ctx is
// done, which is no error, or something fails. It uses the session up: the
// connection is closed when it returns.
//
// from is where the caller's durable knowledge ends; a status frame never names
// a lower position than it.
func (s *Session) Stream(ctx context.Context, from wal.LSN, sink Sink) (err error) {
	if s.conn == nil {
		return errStreamed
	}
	// Hijack asks for this: nothing may be left in pgconn's buffers.
	if err := s.conn.SyncConn(ctx); err != nil {
		return fmt.Errorf("make ready to stream: %w", err)
	}
	h, err := s.conn.Hijack()
	if err != nil {
		return fmt.Errorf("take the connection over: %w", err)
	}
	s.conn = nil
	defer func() {
		if cerr := h.Conn.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("close the replication connection: %w", cerr)
		}
	}()
	st := newStream(s, h.Conn, from, sink)
	// The one thing done from outside: the owner wakes from its read.
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = h.Conn.SetReadDeadline(time.Unix(1, 0)) // fails only if it is closed
	})
	err = st.run(ctx, s.cfg.startCommand(from))
	if !stop() {
		<-woken // the deadline is the owner's again
	}
	if ctx.Err() != nil && st.streaming {
		st.bye()
		return nil
	}
	return err
}

// stream is a session that streams. One goroutine owns it.
type stream struct {
	s    *Session
	conn net.Conn
	sink Sink

	buf  []byte // what was read and not used yet is buf[r:w]
	r, w int
	out  []byte // status frames are written from here

	gather    gather
	duties    duties
	streaming bool // START_REPLICATION has succeeded
}

func newStream(s *Session, conn net.Conn, from wal.LSN, sink Sink) *stream {
	st := &stream{s: s, conn: conn, sink: sink, buf: make([]byte, bufferBytes)}
	st.gather.received, st.gather.serverEnd = from, s.info.XLogPos
	st.gather.position = sink.Synced()
	now := time.Now()
	st.duties = duties{
		interval: s.statusInterval(), deadAfter: s.deadAfter(),
		floor: from, sent: now, heard: now,
	}
	st.publish()
	return st
}

// publish shows the positions to everybody.
func (st *stream) publish() {
	st.s.received.Store(uint64(st.gather.received))
	st.s.serverEnd.Store(uint64(st.gather.serverEnd))
	st.s.acked.Store(uint64(st.duties.acked))
	st.s.heard(st.duties.heard)
}

func (st *stream) run(ctx context.Context, command string) error {
	if err := st.start(ctx, command); err != nil {
		return fmt.Errorf("start replication: %w", err)
	}
	st.streaming = true
	if err := st.offer(ctx, wal.Frame{Kind: wal.FrameReset}); err != nil {
		return err
	}
	for {
		if err := st.take(ctx); err != nil {
			return err
		}
		if err := st.perform(ctx); err != nil {
			return err
		}
		_, held := st.heldProgress()
		if err := st.read(ctx, st.duties.next(time.Now(), st.sink.Synced(), st.gather.position, held)); err != nil {
			return err
		}
	}
}

// start sends START_REPLICATION and waits until the server streams.
func (st *stream) start(ctx context.Context, command string) error {
	if err := st.write(appendQuery(nil, command)); err != nil {
		return err
	}
	limit := time.Now().Add(startTimeout)
	for {
		kind, body, size, ok, err := message(st.buf[st.r:st.w])
		if err != nil {
			return err
		}
		if !ok {
			if !time.Now().Before(limit) {
				return fmt.Errorf("%w: no answer for %s", errDead, startTimeout)
			}
			if err := st.read(ctx, limit); err != nil {
				return err
			}
			continue
		}
		st.r += size
		switch kind {
		case 'W': // CopyBothResponse
			return nil
		case 'E':
			return serverError(body)
		case 'N', 'S':
			st.notice(kind, body)
		default:
			return fmt.Errorf("the server answers with a message %q", kind)
		}
	}
}

// take hands on all that is complete in the buffer.
func (st *stream) take(ctx context.Context) error {
	for {
		f, n, err := st.gather.frame(st.buf[st.r:st.w])
		if err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		st.r += n
		if n > 0 {
			if f.Kind != 0 {
				if err := st.offer(ctx, f); err != nil {
					return err
				}
			}
			continue
		}
		kind, body, size, ok, err := message(st.buf[st.r:st.w])
		if err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		if !ok {
			st.room(size)
			return nil
		}
		st.r += size
		switch kind {
		case 'E':
			return serverError(body)
		case 'N', 'S':
			st.notice(kind, body)
		case 'c', 'C':
			return errEnded
		default:
			return fmt.Errorf("read the stream: unknown message %q", kind)
		}
	}
}

// notice logs what the server has to say besides.
func (st *stream) notice(kind byte, body []byte) {
	var n pgproto3.NoticeResponse
	if kind != 'N' || n.Decode(body) != nil {
		return
	}
	st.s.log.Info("Postgres says", "severity", n.Severity, "code", n.Code, "message", n.Message)
}

// room makes room for a message of size bytes, 0 if its size is not known yet.
// The buffer grows with what arrives, not with what a length promises.
func (st *stream) room(size int) {
	have, to := st.w-st.r, st.buf
	switch {
	case have == len(st.buf):
		to = make([]byte, min(max(size, bufferBytes), 2*have))
	case len(st.buf) > bufferBytes && have < bufferBytes/2:
		to = make([]byte, bufferBytes) // a large message has passed
	case st.r == 0:
		return
	}
	copy(to, st.buf[st.r:st.w])
	st.buf, st.r, st.w = to, 0, have
}

// read waits for bytes until a time.
func (st *stream) read(ctx context.Context, until time.Time) error {
	if err := st.conn.SetReadDeadline(until); err != nil {
		return fmt.Errorf("read from Postgres: %w", err)
	}
	// The context's hook may have set its deadline just before we set ours.
	if ctx.Err() != nil {
		return ctx.Err()
	}
	n, err := st.conn.Read(st.buf[st.w:])
	st.w += n
	if n > 0 {
		st.duties.hear(time.Now())
	}
	switch {
	case err == nil || errors.Is(err, os.ErrDeadlineExceeded):
		return ctx.Err()
	case errors.Is(err, io.EOF):
		return fmt.Errorf("read from Postgres: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read from Postgres: %w", err)
}

func (st *stream) write(b []byte) error {
	if err := st.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("write to Postgres: %w", err)
	}
	if _, err := st.conn.Write(b); err != nil {
		return fmt.Errorf("write to Postgres: %w", err)
	}
	return nil
}

// offer hands a frame on. While the Sink is full we do not read, but go on
// telling the server that we live: it would end the session otherwise.
func (st *stream) offer(ctx context.Context, f wal.Frame) error {
	if st.sink.Offer(f) {
		return nil
	}
	again := time.NewTicker(ackPause)
	defer again.Stop()
	for !st.sink.Offer(f) {
		if err := st.tell(time.Now()); err != nil {
			return err
		}
		select {
		case <-st.sink.Space():
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	// The server was silent since we did not listen.
	st.duties.hear(time.Now())
	return nil
}

// heldProgress is when the progress that waits may be handed on.
func (st *stream) heldProgress() (time.Time, bool) {
	g := &st.gather
	return st.duties.progress.Add(progressPause), !g.open && g.vouched > g.position
}

// perform does what is due.
func (st *stream) perform(ctx context.Context) error {
	now := time.Now()
	if at, held := st.heldProgress(); held && (st.gather.reply || !now.Before(at)) {
		if f, ok := st.gather.progress(); ok {
			st.duties.progress = now
			if err := st.offer(ctx, f); err != nil {
				return err
			}
		}
	}
	if err := st.tell(now); err != nil {
		return err
	}
	return st.duties.alive(now)
}

// tell sends a status frame if one is due.
func (st *stream) tell(now time.Time) error {
	stat, due := st.duties.status(now, st.sink.Synced(), st.gather.reply)
	if due {
		if err := st.send(now, stat); err != nil {
			return err
		}
	}
	st.publish()
	return nil
}

func (st *stream) send(now time.Time, stat status) error {
	write := max(st.gather.received, stat.flush)
	st.out = appendStatus(st.out[:0], write, stat.flush, now, stat.ask)
	if err := st.write(st.out); err != nil {
		return err
	}
	st.duties.did(now, stat)
	st.gather.reply = false
	return nil
}

// bye tells the server what is durable, ends the stream and waits a little for
// its answer: closing a socket with unread bytes in it would throw away what we
// sent last. It does what it can; the connection is closed in any case.
func (st *stream) bye() {
	now := time.Now()
	limit := now.Add(byeTimeout)
	err := st.send(now, status{flush: st.duties.flush(st.sink.Synced())})
	st.publish()
	if err == nil {
		err = st.write(copyDone)
	}
	if err == nil {
		err = st.drain(limit)
	}
	if err == nil {
		err = st.write(terminate)
	}
	if err != nil {
		st.s.log.Info("the replication session ended without a good-bye", "err", err)
	}
}

// drain reads up to the end of the server's answer.
func (st *stream) drain(limit time.Time) error {
	for time.Now().Before(limit) {
		kind, body, size, ok, err := message(st.buf[st.r:st.w])
		switch {
		case err != nil:
			return err
		case !ok:
			st.room(size)
			if err := st.read(context.Background(), limit); err != nil {
				return err
			}
			continue
		}
		st.r += size
		switch kind {
		case 'E':
			return serverError(body)
		case 'Z': // ReadyForQuery
			return nil
		}
	}
	return fmt.Errorf("%w: no good-bye for %s", errDead, byeTimeout)
}
