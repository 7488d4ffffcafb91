package pgrepl

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

// open makes a slot and a session that will stream from it.
func open(t testing.TB, url string) (*Session, wal.LSN) {
	t.Helper()
	s := connect(t, Config{ConnString: url})
	from, err := s.CreateSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s, from
}

func TestStream(t *testing.T) {
	db := prepare(t)
	s, from := open(t, db.URL)
	sink := newMemory(true)
	r := start(t, s, from, sink)
	db.Exec(`insert into t values (1, 'one'), (2, null)`)
	db.Exec(`update t set name = 'ONE' where id = 1`)
	db.Exec(`create table other (id int)`)
	db.Exec(`insert into other values (1)`)
	db.Exec(`delete from t where id = 2`)
	want := []string{"insert [1 one]", "insert [2 ]", "update [1 ONE]", "delete []"}
	until(t, "all rows", func() bool { rows, _ := sink.decode(t); return len(rows) == len(want) })
	if rows, _ := sink.decode(t); !slices.Equal(rows, want) {
		t.Errorf("got %q, want %q", rows, want)
	}
	if f := sink.frames[0]; f.Kind != wal.FrameReset {
		t.Errorf("first frame: %+v", f)
	}
	r.stop(t)
	if p := s.Positions(); p.Received < from || p.Acked < from || p.ServerEnd < p.Acked || time.Since(p.LastMessage) > limit {
		t.Errorf("positions %+v", p)
	}
	if err := s.Stream(t.Context(), from, sink); err == nil {
		t.Error("streamed twice")
	}
}

// What Postgres is told is what the Sink has synced, nothing more, soon after.
func TestAckFollowsSynced(t *testing.T) {
	db := prepare(t)
	// No status frames by the clock: those that keep us alive are answers.
	s := connect(t, Config{ConnString: with(db.URL, "wal_sender_timeout=1s"), StatusInterval: time.Hour})
	from, err := s.CreateSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sink := newMemory(false)
	r := start(t, s, from, sink)
	db.Exec(`insert into t values (1, 'one')`)
	until(t, "the row", func() bool { rows, _ := sink.decode(t); return len(rows) == 1 })
	at := sink.at()
	first := s.Positions().LastMessage
	until(t, "the server asks and is answered for longer than its timeout", func() bool { return s.Positions().LastMessage.Sub(first) > 3*time.Second/2 })
	r.failed(t)
	if got := confirmed(t, db); got != from {
		t.Fatalf("nothing is synced, and Postgres believes %s, not %s", got, from)
	}
	if got := s.Positions().Acked; got != 0 {
		t.Fatalf("nothing is synced, and %s was sent", got)
	}
	sink.sync(at)
	began := time.Now()
	until(t, "the position is told", func() bool { return confirmed(t, db) == at })
	if took := time.Since(began); took > time.Second {
		t.Errorf("telling took %s", took)
	}
	if got := s.Positions().Acked; got != at {
		t.Errorf("acked %s, want %s", got, at)
	}
	r.stop(t)
}

// A position below the one where we began is somebody else's.
func TestNoStalePosition(t *testing.T) {
	db := prepare(t)
	s, from := open(t, with(db.URL, "wal_sender_timeout=1s"))
	sink := newMemory(false)
	sink.sync(from - 8)
	r := start(t, s, from, sink)
	began := time.Now()
	until(t, "several status frames have gone", func() bool { return time.Since(began) > 3*time.Second/2 })
	r.failed(t)
	if got := s.Positions().Acked; got != 0 {
		t.Errorf("sent %s, began at %s", got, from)
	}
	r.stop(t)
	if got := confirmed(t, db); got != from {
		t.Errorf("Postgres believes %s, want %s", got, from)
	}
}

// A full sink: the session lives for much longer than wal_sender_timeout, and
// nothing is lost or doubled.
func TestFullSink(t *testing.T) {
	db := prepare(t)
	s, from := open(t, with(db.URL, "wal_sender_timeout=1s"))
	sink := newMemory(true)
	r := start(t, s, from, sink)
	db.Exec(`insert into t values (0, 'first')`)
	until(t, "the first row", func() bool { rows, _ := sink.decode(t); return len(rows) == 1 })
	sink.setFull(true)
	// More than all buffers between us can hold.
	db.Exec(`insert into t select i, repeat('x', 1000) from generate_series(1, 30000) i`)
	began := time.Now()
	until(t, "four timeouts pass", func() bool { return time.Since(began) > 4*time.Second })
	r.failed(t)
	if got := db.Value("select active from pg_replication_slots where slot_name = '" + testSlot + "'"); got != "t" {
		t.Fatal("Postgres has ended the session")
	}
	sink.setFull(false)
	until(t, "all rows", func() bool { _, commits := sink.decode(t); return commits == 2 })
	r.failed(t)
	if rows, _ := sink.decode(t); len(rows) != 30001 {
		t.Errorf("got %d rows", len(rows))
	}
	if sink.refused == 0 {
		t.Error("the sink was never full")
	}
	r.stop(t)
}

// Without any traffic of ours, keepalives move the position and Postgres may
// forget its WAL.
func TestIdle(t *testing.T) {
	db := prepare(t)
	s, from := open(t, db.URL)
	sink := newMemory(true)
	r := start(t, s, from, sink)
	db.Exec(`create table unpublished as select generate_series(1, 10000) i`)
	end, err := wal.ParseLSN(db.Value("select pg_current_wal_insert_lsn()"))
	if err != nil {
		t.Fatal(err)
	}
	// The writer has to write the record of that commit before it is sent.
	until(t, "the idle position is confirmed", func() bool { return confirmed(t, db) >= end })
	r.stop(t)
	rows, _ := sink.decode(t)
	n := 0
	for _, f := range sink.frames {
		if f.Kind == wal.FrameProgress {
			n++
		}
	}
	if len(rows) != 0 || n == 0 || n > 1+int(limit/progressPause) {
		t.Errorf("%d rows, %d frames of progress", len(rows), n)
	}
}

func TestResume(t *testing.T) {
	db := prepare(t)
	s, from := open(t, db.URL)
	sink := newMemory(false)
	r := start(t, s, from, sink)
	for i := range 10 {
		db.Exec(fmt.Sprintf(`insert into t values (%d, 'a')`, i))
	}
	until(t, "ten rows", func() bool { rows, _ := sink.decode(t); return len(rows) == 10 })
	// Durable here; Postgres never hears of it, as in a crash.
	at := sink.at()
	r.stop(t)
	if got := confirmed(t, db); got != from {
		t.Fatalf("Postgres believes %s, want %s", got, from)
	}
	sink.sync(at)
	db.Exec(`insert into t values (10, 'b')`)
	again := connect(t, Config{ConnString: db.URL})
	r = start(t, again, at, sink)
	until(t, "the row", func() bool { rows, _ := sink.decode(t); return len(rows) > 10 })
	if rows, _ := sink.decode(t); len(rows) != 11 || rows[10] != "insert [10 b]" {
		t.Errorf("got %q", rows)
	}
	r.stop(t)
}

// The end of the context sends what is durable by then.
func TestFinalStatus(t *testing.T) {
	db := prepare(t)
	s, from := open(t, db.URL)
	sink := newMemory(false)
	r := start(t, s, from, sink)
	db.Exec(`insert into t values (1, 'one')`)
	until(t, "the row", func() bool { rows, _ := sink.decode(t); return len(rows) == 1 })
	at := sink.at()
	sink.sync(at)
	r.stop(t)
	if got := confirmed(t, db); got != at {
		t.Errorf("Postgres believes %s, want %s", got, at)
	}
	until(t, "the slot is free", func() bool {
		return db.Value("select active from pg_replication_slots where slot_name = '"+testSlot+"'") == "f"
	})
}

// Rows larger than all buffers, before and after small ones.
func TestLargeRows(t *testing.T) {
	db := prepare(t)
	s, from := open(t, db.URL)
	sink := newMemory(true)
	r := start(t, s, from, sink)
	db.Exec(`insert into t values (1, 'small'); insert into t values (2, repeat('x', 20000000)); insert into t select i, 'y' from generate_series(3, 5000) i`)
	db.Exec(`insert into t values (5001, repeat('z', 262144))`)
	until(t, "all rows", func() bool { rows, _ := sink.decode(t); return len(rows) == 5001 })
	rows, _ := sink.decode(t)
	for i, want := range map[int]int{0: 5, 1: 20000000, 2: 1, 4999: 1, 5000: 262144} {
		if got := len(rows[i]) - len(fmt.Sprintf("insert [%d ]", i+1)); got != want {
			t.Errorf("row %d has %d bytes, want %d", i, got, want)
		}
	}
	for i, f := range sink.frames {
		n := 0
		for range wal.Messages(f.Data) {
			n++
		}
		if n > 1 && len(f.Data) > bufferBytes {
			t.Errorf("frame %d: %d bytes in %d messages", i, len(f.Data), n)
		}
	}
	r.stop(t)
}

// A lone row is not delayed by what makes bulk fast.
func TestLatency(t *testing.T) {
	db := prepare(t)
	s, from := open(t, db.URL)
	sink := newMemory(true)
	r := start(t, s, from, sink)
	db.Exec(`insert into t select i, repeat('x', 100) from generate_series(1, 50000) i`)
	until(t, "the bulk", func() bool { _, commits := sink.decode(t); return commits == 1 })
	// The server's WAL writer would add up to 200 ms of its own.
	db.Exec(`set synchronous_commit = on`)
	var took []time.Duration
	for i := range 20 {
		began := time.Now()
		before := sink.at()
		db.Exec(fmt.Sprintf(`insert into t values (%d, 'lone')`, 100000+i))
		for sink.at() == before {
			<-sink.changed
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("insert and receive: median %s, worst %s", took[10], took[19])
	if took[10] > 50*time.Millisecond {
		t.Errorf("a lone row takes %s", took[10])
	}
	r.stop(t)
}

func TestStreamErrors(t *testing.T) {
	db := prepare(t)
	s := connect(t, Config{ConnString: db.URL})
	err := s.Stream(t.Context(), 0, newMemory(true))
	if Classify(err) != Slot || Advice(err) == "" {
		t.Errorf("no slot: %v is %s", err, Classify(err))
	}
	first, from := open(t, db.URL)
	r := start(t, first, from, newMemory(true))
	until(t, "the first streams", func() bool {
		return db.Value("select active from pg_replication_slots where slot_name = '"+testSlot+"'") == "t"
	})
	err = connect(t, Config{ConnString: db.URL}).Stream(t.Context(), 0, newMemory(true))
	if err == nil || Classify(err) != Retry || Advice(err) == "" {
		t.Errorf("slot in use: %v is %s", err, Classify(err))
	}
	db.Exec(fmt.Sprintf("select pg_terminate_backend(%d)", first.Info().BackendPID))
	select {
	case err := <-r.done:
		if err == nil || Classify(err) != Retry {
			t.Errorf("terminated: %v is %s", err, Classify(err))
		}
	case <-time.After(limit):
		t.Error("the end of the backend was not noticed")
	}
}

// A server that says nothing is given up, also if the network is fine.
func TestSilentServer(t *testing.T) {
	db := prepare(t)
	s := connect(t, Config{ConnString: db.URL, DeadAfter: time.Second})
	from, err := s.CreateSlot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, s, from, newMemory(true))
	until(t, "it streams", func() bool { return s.Positions().Acked != 0 })
	// It answers when asked, so this is no reason to go.
	began := time.Now()
	until(t, "two limits pass", func() bool { return time.Since(began) > 2*time.Second })
	r.failed(t)
	pid := int(s.Info().BackendPID)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}()
	select {
	case err := <-r.done:
		if !errors.Is(err, errDead) || Classify(err) != Retry {
			t.Errorf("got %v", err)
		}
	case <-time.After(limit):
		t.Error("waits for ever")
	}
}

// A context that ends while the server does not answer ends the session, too.
func TestStopSilentServer(t *testing.T) {
	db := prepare(t)
	s, from := open(t, db.URL)
	r := start(t, s, from, newMemory(true))
	until(t, "it streams", func() bool { return s.Positions().Acked != 0 })
	pid := int(s.Info().BackendPID)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}()
	began := time.Now()
	r.stop(t)
	if took := time.Since(began); took > byeTimeout+5*time.Second {
		t.Errorf("took %s", took)
	}
}
