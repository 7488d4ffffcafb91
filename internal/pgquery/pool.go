package pgquery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

const (
	connectTimeout = 10 * time.Second
	acquireTimeout = 10 * time.Second // for a free connection
	idleTime       = time.Minute      // then a connection is closed
	// Idle for longer, a connection is asked whether it lives. A server takes longer
	// than that to start again: what is fresh may fail once, but not after the server is
	// known to be back.
	trustTime = 50 * time.Millisecond
	endTime   = 2 * time.Second // for the last words to a connection: a stop takes 10 s at most
)

// pool keeps at most a fixed number of connections, opened when needed. It is
// small on purpose: pgxpool opens and repairs connections in the background,
// and does not tell "all are in use" from "the server does not answer".
type pool struct {
	config *pgx.ConnConfig
	slots  chan struct{} // holds one for each connection in use
	wait   time.Duration // for a free slot

	mu     sync.Mutex
	idle   []*idler // the last one used at the end
	closed bool
}

// idler is a connection that waits to be used again.
type idler struct {
	conn  *pgx.Conn
	since time.Time
	timer *time.Timer // closes it
}

var errPoolClosed = errors.New("the pool is closed")

func openPool(url, name string, most int) (*pool, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.StatementCacheCapacity = 0
	c.DescriptionCacheCapacity = 0
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = name
	}
	// The text of a statement is read under the encoding that was set before it: names
	// in a script that begins with our settings already need ours. Drivers send it, so
	// poolers know it.
	c.RuntimeParams["client_encoding"] = "UTF8"
	// A context that ends must end the query in the server as well, not only
	// our connection: a sort of a large table would go on for hours.
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: endTime}
	}
	return &pool{config: c, slots: make(chan struct{}, most), wait: acquireTimeout}, nil
}

// acquire takes a connection, which must be given back with release.
func (p *pool) acquire(ctx context.Context) (*pgx.Conn, error) {
	if err := p.slot(ctx); err != nil {
		return nil, err
	}
	conn, err := p.connection(ctx)
	if err != nil {
		<-p.slots
		return nil, err
	}
	return conn, nil
}

// slot waits until there may be one connection more.
func (p *pool) slot(ctx context.Context) error {
	timer := time.NewTimer(p.wait)
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return &Error{Kind: ErrPoolTimeout, Text: textPool}
	}
}

func (p *pool) connection(ctx context.Context) (*pgx.Conn, error) {
	for {
		i, err := p.takeIdle()
		if err != nil {
			return nil, err
		}
		if i == nil {
			break
		}
		if time.Since(i.since) < trustTime {
			return i.conn, nil
		}
		if i.conn.Ping(ctx) == nil {
			return i.conn, nil
		}
		shut(i.conn)
	}
	return p.connect(ctx)
}

func (p *pool) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, p.config)
	if err == nil {
		return conn, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, typed(err)
}

func (p *pool) takeIdle() (*idler, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errPoolClosed
	}
	for len(p.idle) > 0 {
		i := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if i.timer.Stop() {
			return i, nil
		}
		// Its timer has fired and is about to close it.
	}
	return nil, nil
}

// release gives a connection back. One in the middle of something is closed,
// which is also how a transaction given up ends.
func (p *pool) release(conn *pgx.Conn) {
	defer func() { <-p.slots }()
	raw := conn.PgConn()
	if conn.IsClosed() || raw.IsBusy() || raw.TxStatus() != 'I' || !p.keep(conn) {
		shut(conn)
	}
}

// keep puts a connection among the idle ones.
func (p *pool) keep(conn *pgx.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	i := &idler{conn: conn, since: time.Now()}
	i.timer = time.AfterFunc(idleTime, func() {
		p.forget(i)
		shut(conn)
	})
	p.idle = append(p.idle, i)
	return true
}

func (p *pool) forget(gone *idler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, i := range p.idle {
		if i == gone {
			p.idle = append(p.idle[:k], p.idle[k+1:]...)
			return
		}
	}
}

// close closes all connections and waits for those in use.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.dropIdle()
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	for range cap(p.slots) {
		<-p.slots
	}
}

// dropIdle closes the connections that are not in use.
func (p *pool) dropIdle() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	// All at once: if the server is silent each takes its time.
	var all sync.WaitGroup
	for _, i := range idle {
		if i.timer.Stop() {
			all.Go(func() { shut(i.conn) })
		}
	}
	all.Wait()
}

// shut closes a connection. What the server thinks of that does not matter.
func shut(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	_ = conn.Close(ctx)
}

// within runs f in a transaction that begins with a script of statements.
func (p *pool) within(ctx context.Context, begin statement, f func(pgx.Tx) error) error {
	conn, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer p.release(conn)
	return transaction(ctx, conn, begin, f)
}

// fresh is within on a connection that is made for it: what a session of the server
// keeps for its life is as it is now.
func (p *pool) fresh(ctx context.Context, begin statement, f func(pgx.Tx) error) error {
	if err := p.slot(ctx); err != nil {
		return err
	}
	defer func() { <-p.slots }()
	i, err := p.takeIdle()
	if err != nil {
		return err
	}
	if i != nil {
		shut(i.conn) // the new one has its place
	}
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer shut(conn)
	return transaction(ctx, conn, begin, f)
}

func transaction(ctx context.Context, conn *pgx.Conn, begin statement, f func(pgx.Tx) error) error {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: (begin + pinnedBy(conn.PgConn())).whole()})
	if err != nil {
		return typedIn(ctx, err)
	}
	if err := f(tx); err != nil {
		return errors.Join(typedIn(ctx, err), rollback(ctx, tx))
	}
	return typedIn(ctx, tx.Commit(ctx))
}

// rollback does not fail because the caller's context has ended.
func rollback(ctx context.Context, tx pgx.Tx) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if err := tx.Rollback(ctx); err != nil && !tx.Conn().IsClosed() {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// script runs statements that need no answer, in one round trip.
func (p *pool) script(ctx context.Context, sql statement) error {
	conn, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer p.release(conn)
	_, err = conn.PgConn().Exec(ctx, sql.whole()).ReadAll()
	return typedIn(ctx, err)
}
