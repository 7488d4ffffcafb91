package pgrepl

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgoutput"
	"github.com/spillway-sync/spillway/internal/pgtest"
	"github.com/spillway-sync/spillway/internal/wal"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	testSlot = "pgrepl_slot"
	testPub  = `pgrepl "pub"`
	// limit is how long any condition may take to come true.
	limit = 30 * time.Second
)

// prepare makes a database with a table and a publication.
func prepare(t testing.TB) *pgtest.DB {
	t.Helper()
	db := pgtest.New(t)
	db.Exec(`create table t (id bigint primary key, name text)`)
	db.Exec(`alter table t replica identity full`)
	db.Exec(`create publication "pgrepl ""pub""" for table t`)
	return db
}

func connect(t testing.TB, cfg Config) *Session {
	t.Helper()
	if cfg.Slot == "" {
		cfg.Slot = testSlot
	}
	cfg.Publication = testPub
	s, err := Connect(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// with adds a server setting to a connection string.
func with(url, setting string) string {
	if strings.Contains(url, "?") {
		return url + "&" + setting
	}
	return url + "?" + setting
}

// memory is a Sink that keeps everything and syncs when told.
type memory struct {
	mu       sync.Mutex
	frames   []wal.Frame
	full     bool
	refused  int
	auto     bool // positions are durable at once
	position wal.LSN
	synced   wal.LSN
	space    chan struct{}
	changed  chan struct{} // one slot: something was offered

	read reading // of the test
}

func newMemory(auto bool) *memory {
	return &memory{auto: auto, space: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
}

func (m *memory) Offer(f wal.Frame) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		m.refused++
		return false
	}
	m.frames = append(m.frames, f)
	m.position = max(m.position, f.Position)
	if m.auto {
		m.synced = m.position
	}
	select {
	case m.changed <- struct{}{}:
	default:
	}
	return true
}

func (m *memory) Space() <-chan struct{} { return m.space }

func (m *memory) Synced() wal.LSN {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.synced
}

func (m *memory) at() wal.LSN {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.position
}

func (m *memory) sync(at wal.LSN) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synced = at
}

func (m *memory) setFull(full bool) {
	m.mu.Lock()
	m.full = full
	m.mu.Unlock()
	if !full {
		m.space <- struct{}{}
	}
}

// reading is what decode knows of the frames it has seen.
type reading struct {
	dec     pgoutput.Decoder
	seen    int
	rows    []string
	commits int
	open    bool
	last    wal.LSN
}

// decode decodes the frames that came since the last call and returns what all
// of them say. It checks what every reader relies on.
func (m *memory) decode(t testing.TB) (rows []string, commits int) {
	t.Helper()
	m.mu.Lock()
	frames := m.frames[m.read.seen:len(m.frames):len(m.frames)]
	m.mu.Unlock()
	for _, f := range frames {
		m.read.frame(t, f)
	}
	return m.read.rows, m.read.commits
}

func (r *reading) frame(t testing.TB, f wal.Frame) {
	t.Helper()
	if f.Kind == wal.FrameReset {
		if f.Position != 0 || f.Open || f.Data != nil {
			t.Fatalf("frame %d: %+v", r.seen, f)
		}
		r.dec.Reset()
		r.open = false
	}
	end, relations := wal.LSN(0), 0
	for msg := range wal.Messages(f.Data) {
		ev, err := r.dec.Decode(msg)
		if err != nil {
			t.Fatalf("frame %d: %v", r.seen, err)
		}
		switch ev.Kind {
		case pgoutput.Begin:
			r.open = true
		case pgoutput.Change:
			r.rows = append(r.rows, fmt.Sprintf("%s %s", ev.Change.Op, ev.Change.New))
		case pgoutput.Commit:
			r.open, end = false, ev.Txn.End
			r.commits++
		case pgoutput.Relation:
			relations++
		}
	}
	if f.Open != r.open || f.Kind == wal.FrameData && f.Position != end {
		t.Fatalf("frame %d: position %s, open %v; its messages say %s, %v", r.seen, f.Position, f.Open, end, r.open)
	}
	if (relations > 0) != (f.Preamble != nil) {
		t.Fatalf("frame %d: %d relations and a preamble of %d bytes", r.seen, relations, len(f.Preamble))
	}
	if f.Position != 0 && f.Position <= r.last {
		t.Fatalf("frame %d: position %s after %s", r.seen, f.Position, r.last)
	}
	r.last = max(r.last, f.Position)
	r.seen++
}

// until waits for a condition that nothing announces.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(limit)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited %s for: %s", limit, what)
		}
	}
}

// running is a Stream in the background.
type running struct {
	cancel context.CancelFunc
	done   chan error
}

func start(t testing.TB, s *Session, from wal.LSN, sink Sink) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel, make(chan error, 1)}
	go func() { r.done <- s.Stream(ctx, from, sink) }()
	t.Cleanup(cancel)
	return r
}

// stop ends it and wants it to end well.
func (r *running) stop(t testing.TB) {
	t.Helper()
	r.cancel()
	select {
	case err := <-r.done:
		if err != nil {
			t.Fatalf("stream: %v", err)
		}
	case <-time.After(limit):
		t.Fatal("Stream does not end")
	}
}

func (r *running) failed(t testing.TB) {
	t.Helper()
	select {
	case err := <-r.done:
		t.Fatalf("stream ended: %v", err)
	default:
	}
}

// confirmed is what Postgres believes to be durable.
func confirmed(t testing.TB, db *pgtest.DB) wal.LSN {
	t.Helper()
	at, err := wal.ParseLSN(db.Value("select coalesce(confirmed_flush_lsn, '0/0') from pg_replication_slots where slot_name = '" + testSlot + "'"))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// hold runs statements on a session that stays open with its transaction.
func hold(t testing.TB, db *pgtest.DB, sql string) {
	t.Helper()
	if _, err := db.Conn().PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

func TestIdentify(t *testing.T) {
	db := prepare(t)
	s := connect(t, Config{ConnString: with(db.URL, "wal_sender_timeout=7s"), ApplicationName: "teller"})
	i := s.Info()
	if want := db.Value("select system_identifier from pg_control_system()"); i.SystemID != want {
		t.Errorf("system %s, want %s", i.SystemID, want)
	}
	if i.Timeline != 1 || i.XLogPos == 0 || i.ServerVersion < 140000 || i.StatsReset == "" || i.WALSenderTimeout != 7*time.Second {
		t.Errorf("got %+v", i)
	}
	if got := db.Value(fmt.Sprintf("select application_name || backend_type from pg_stat_activity where pid = %d", i.BackendPID)); got != "tellerwalsender" {
		t.Errorf("backend is %s", got)
	}
}

// The display settings win over those of the database.
func TestDisplay(t *testing.T) {
	db := prepare(t)
	for _, set := range []string{"bytea_output = 'escape'", "DateStyle = 'German'", "TimeZone = 'Asia/Tokyo'", "extra_float_digits = -5", "IntervalStyle = 'postgres_verbose'"} {
		db.Exec(fmt.Sprintf("alter database %q set %s", db.Name, set))
	}
	s := connect(t, Config{ConnString: db.URL})
	r, err := s.one(t.Context(), `SELECT '\x01ff'::bytea AS b, date '2026-11-23' AS d, timestamptz '2026-11-23 12:00+01' AS ts, 1::float4 / 3::float4 AS f, interval '1 day 2 hours' AS i, 5::money AS m`)
	if err != nil {
		t.Fatal(err)
	}
	want := row{"b": `\x01ff`, "d": "2026-11-23", "ts": "2026-11-23 11:00:00+00", "f": "0.33333334", "i": "P1DT2H", "m": "5.00"}
	for k, w := range want {
		if got := strings.TrimPrefix(r[k], "$"); got != w {
			t.Errorf("%s: got %q, want %q", k, got, w)
		}
	}
}

// A session is ended by none of the limits that a database has for those of its users.
func TestTimeLimits(t *testing.T) {
	db := prepare(t)
	for _, name := range []string{"statement_timeout", "lock_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout"} {
		db.Exec(fmt.Sprintf("alter database %q set %s = '1h'", db.Name, name))
	}
	if db.Value("select count(*) from pg_settings where name = 'transaction_timeout'") == "1" {
		db.Exec(fmt.Sprintf("alter database %q set transaction_timeout = '1h'", db.Name))
	}
	s := connect(t, Config{ConnString: db.URL})
	r, err := s.one(t.Context(), `SELECT string_agg(name, ' ') AS set FROM pg_settings
		WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout') AND setting <> '0'`)
	if err != nil || r["set"] != "" {
		t.Errorf("limits are %v, %v", r, err)
	}
}

func TestSlot(t *testing.T) {
	db := prepare(t)
	s := connect(t, Config{ConnString: db.URL})
	ctx := t.Context()
	if st, err := s.Slot(ctx); err != nil || st.Exists {
		t.Fatalf("before: %+v, %v", st, err)
	}
	at, err := s.CreateSlot(ctx)
	if err != nil || at == 0 {
		t.Fatalf("create: %s, %v", at, err)
	}
	st, err := s.Slot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !st.Exists || st.Active || st.Plugin != "pgoutput" || st.Database != db.Name || st.Temporary || st.ConfirmedFlush != at ||
		st.RestartLSN == 0 || st.RestartLSN > at || st.WALStatus != "reserved" || st.Invalidated != "" || st.SafeWALSize != -1 {
		t.Errorf("created: %+v (at %s)", st, at)
	}
	if _, err := s.CreateSlot(ctx); err == nil {
		t.Error("created it twice")
	}
	if err := s.DropSlot(ctx); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Slot(ctx); err != nil || st.Exists {
		t.Fatalf("dropped: %+v, %v", st, err)
	}
	err = s.DropSlot(ctx)
	if got := Classify(err); got != Slot {
		t.Errorf("drop what is not there: %v is %s", err, got)
	}
}

func TestTemporarySlot(t *testing.T) {
	db := prepare(t)
	s := connect(t, Config{ConnString: db.URL, Temporary: true})
	if _, err := s.CreateSlot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Slot(t.Context()); err != nil || !st.Temporary || !st.Active || st.ActivePID != int(s.Info().BackendPID) {
		t.Errorf("got %+v, %v", st, err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the slot goes with its session", func() bool {
		return db.Value("select count(*) from pg_replication_slots where slot_name = '"+testSlot+"'") == "0"
	})
}

func TestLock(t *testing.T) {
	db := prepare(t)
	first := connect(t, Config{ConnString: db.URL, ApplicationName: "first"})
	second := connect(t, Config{ConnString: db.URL})
	try := func(s *Session, want bool) {
		t.Helper()
		if got, err := s.TryLock(t.Context()); err != nil || got != want {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	}
	if _, held, err := first.LockHolder(t.Context()); err != nil || held {
		t.Fatalf("somebody holds a lock that nobody took: %v, %v", held, err)
	}
	try(first, true)
	try(second, false)
	h, held, err := second.LockHolder(t.Context())
	if err != nil || !held || h.PID != int(first.Info().BackendPID) || h.ApplicationName != "first" || h.Since == "" {
		t.Errorf("holder %+v, %v, %v", h, held, err)
	}
	try(connect(t, Config{ConnString: db.URL, Slot: "another"}), true)
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the lock goes with its session", func() bool {
		got, err := second.TryLock(t.Context())
		return err == nil && got
	})
}

// Who gives up waiting for a slot must not leave a backend behind that goes on
// waiting with our lock in its hands.
func TestCancelledCreation(t *testing.T) {
	db := prepare(t)
	hold(t, db, "begin; insert into t values (1, 'open')")
	s := connect(t, Config{ConnString: db.URL})
	if got, err := s.TryLock(t.Context()); err != nil || !got {
		t.Fatalf("lock: %v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := s.CreateSlot(ctx)
		done <- err
	}()
	pid := s.Info().BackendPID
	until(t, "the backend waits", func() bool {
		return db.Value(fmt.Sprintf("select count(*) from pg_locks where pid = %d and not granted", pid)) == "1"
	})
	cancel()
	if err := <-done; err == nil {
		t.Fatal("created a slot beside an open transaction")
	}
	until(t, "the backend waits no more", func() bool {
		return db.Value(fmt.Sprintf("select count(*) from pg_locks where pid = %d and not granted", pid)) == "0"
	})
}
