package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

func (w *world) table() *Table { return w.pg.Table(w.rng.IntN(w.pg.Tables())) }

// row makes a random row, its key out of few.
func (w *world) row(t *Table) wal.Tuple {
	row := make(wal.Tuple, len(t.Def.Columns))
	for i := range row {
		c := &t.Def.Columns[i]
		switch {
		case !c.NotNull && w.rng.IntN(5) == 0:
		case strings.HasPrefix(c.Name, "i"):
			row[i] = fmt.Append(nil, w.rng.IntN(40))
		default:
			row[i] = []byte([]string{"a", "b/c", "", `q"`, strings.Repeat("long", 1+w.rng.IntN(40))}[w.rng.IntN(5)])
		}
	}
	return row
}

// change does something to a random row; what is locked is left alone.
func (w *world) change(tx *Tx) {
	t := w.table()
	row := w.row(t)
	var err error
	switch w.rng.IntN(6) {
	case 0:
		err = tx.Delete(t, keyOf(t.Def, row))
	case 1:
		if from := keyOf(t.Def, w.row(t)); tx.Get(t, from) != nil && tx.Get(t, keyOf(t.Def, row)) == nil {
			err = tx.Move(t, from, row)
		}
	default:
		err = tx.Put(t, row)
	}
	if err != nil && !errors.Is(err, ErrLocked) {
		w.Fatal(err)
	}
}

func (w *world) write() {
	tx := w.begin()
	for range 1 + w.rng.IntN(5) {
		w.change(tx)
	}
	w.leave(tx)
}

func (w *world) writeMuch() {
	tx := w.begin()
	for range 100 + w.rng.IntN(500) {
		w.change(tx)
	}
	w.leave(tx)
}

// storm writes more transactions than a mailbox holds, one after the other.
func (w *world) storm() {
	for range 20 + w.rng.IntN(40) {
		tx := w.pg.Begin()
		w.change(tx)
		w.change(tx)
		tx.Finish()
		time.Sleep(time.Duration(w.rng.IntN(20)) * time.Millisecond)
	}
}

func (w *world) truncate() {
	tx := w.begin()
	t := w.table()
	w.change(tx)
	if tx.Truncate(t) == nil {
		w.change(tx)
		for _, c := range w.peers {
			c.truncated = c.truncated || c.def.Table.OID == t.Def.OID
		}
	}
	w.leave(tx)
}

// begin opens a transaction, or goes on with an open one.
func (w *world) begin() *Tx {
	for i, tx := range w.open {
		if !tx.logged && w.rng.IntN(3) == 0 {
			w.open = slices.Delete(w.open, i, i+1)
			return tx
		}
	}
	return w.pg.Begin()
}

// leave commits, or rolls back, or does not end.
func (w *world) leave(tx *Tx) {
	switch n := w.rng.IntN(20); {
	case n < 2:
		tx.Rollback()
	case n < 5 && len(w.open) < 6:
		w.open = append(w.open, tx)
	case n < 7 && len(w.open) < 6:
		tx.Log()
		w.open = append(w.open, tx)
	default:
		tx.Finish()
	}
}

func (w *world) finish() {
	if len(w.open) == 0 {
		return
	}
	i := w.rng.IntN(len(w.open))
	w.end(w.open[i])
	w.open = slices.Delete(w.open, i, i+1)
}

func (w *world) end(tx *Tx) {
	if tx.logged {
		tx.Show()
	} else {
		tx.Finish()
	}
}

func (w *world) create() {
	if len(w.peers) >= 12 {
		return
	}
	t := w.table()
	p := shape.Params{Where: []string{"", "i < 10", "i >= 20", "i = 7", "i IN (1, 2, 3)", "i = 5 AND i > 2"}[w.rng.IntN(6)]}
	if t.Def.Find("t") >= 0 && w.rng.IntN(2) == 0 {
		p.Where = []string{"t = 'a'", "t IS NULL", "t LIKE 'long%'", "t > 'b' OR i = 3"}[w.rng.IntN(4)]
	}
	if w.rng.IntN(3) == 0 {
		for _, i := range t.Def.KeyColumns() {
			p.Columns = append(p.Columns, t.Def.Columns[i].Name)
		}
	}
	if w.rng.IntN(3) == 0 {
		p.Replica = shape.ReplicaFull
	}
	w.createOn(t, p)
}

func (w *world) createOn(t *Table, p shape.Params) {
	def, err := shape.BuildDef(t.Def, p)
	if err != nil {
		w.Fatal(err)
	}
	c := &client{def: def}
	w.peers = append(w.peers, c)
	w.follow(c)
}

func (w *world) follow(c *client) {
	sp, err := w.engine.Creator.Create(c.def)
	if err != nil {
		w.Fatal(err)
	}
	c.Follow(sp)
	_, ill := sp.Illness()
	c.truncated, c.hurt, c.removed = false, ill, false
	c.failed = w.conf.Database.Fail.Load() > 0
	// What is under way may still reach it.
	for _, tx := range w.open {
		for i := range tx.ops {
			c.truncated = c.truncated || tx.ops[i].kind == wal.Truncate && tx.ops[i].table.Def.OID == c.def.Table.OID
		}
	}
	coming, _, _ := w.pg.from(w.engine.Ingest.Routed())
	for _, tx := range coming {
		for i := range tx.ops {
			c.truncated = c.truncated || tx.ops[i].kind == wal.Truncate && tx.ops[i].table.Def.OID == c.def.Table.OID
		}
	}
	w.excuseTwins(c)
}

// excuseTwins: clients of one shape share what happens to it.
func (w *world) excuseTwins(c *client) {
	for _, d := range w.peers {
		if d != c && d.Handle == c.Handle {
			c.hurt, c.removed, c.failed = d.hurt, d.removed, d.failed
			c.truncated = c.truncated || d.truncated
		}
	}
}

// twins are the clients of a handle.
func (w *world) twins(h shape.Handle, f func(*client)) {
	for _, c := range w.peers {
		if c.Handle == h {
			f(c)
		}
	}
}

func (w *world) poll() {
	for _, c := range w.peers {
		w.pollOne(c)
	}
}

func (w *world) pollOne(c *client) (upToDate bool) {
	ok, err := c.Poll(w.engine.Registry)
	if err != nil {
		w.gone(c, err)
		return false
	}
	if ok {
		checked, err := c.Check(w.pg)
		if err != nil {
			w.Fatal(err)
		}
		if checked {
			w.checks++
		}
		return checked
	}
	return false
}

// gone begins again with a client whose handle has ended, if there is a reason.
func (w *world) gone(c *client, err error) {
	if !errors.Is(err, errGone) {
		w.Fatal(err)
	}
	good := false
	switch c.Gone {
	case shape.ReasonTruncate:
		good = c.truncated
	case shape.ReasonStalled:
		good = c.hurt
	case shape.ReasonDeleted:
		good = c.removed
	case shape.ReasonSnapshot:
		good = c.failed
	case "": // a crash hid it
		good = !c.Live || w.conf.JournalBudget > 0 || c.truncated || c.hurt || c.removed || c.failed
	}
	if !good && !w.excusesBudget(c.Gone) {
		w.Fatalf("%s ended for %q without a reason: %+v", c.Handle, c.Gone, c)
	}
	w.ends[c.Gone]++
	w.note("%s of %s ended for %q", c.Handle, c.def.Table.Name, c.Gone)
	w.follow(c)
}

func (w *world) wait() {
	d := time.Duration(1 << w.rng.IntN(33))
	if w.rng.IntN(3) == 0 {
		d = time.Duration(w.rng.Int64N(int64(4 * w.conf.Grace)))
	}
	time.Sleep(d)
}

func (w *world) reconnect() {
	w.broken()
	w.connected = true
	w.engine.Connect(w.rng.Uint64(), w.rng.IntN(2) == 0)
}

func (w *world) disconnect() {
	w.broken()
	w.connected = false
	w.engine.Disconnect()
}

// broken excuses the snapshots that are being read.
func (w *world) broken() {
	for _, c := range w.peers {
		c.failed = c.failed || !c.Live
	}
}

func (w *world) powerCut() { w.crash([]int{0, 0, 30, 70}[w.rng.IntN(4)]) }

func (w *world) kill() { w.crash(100) }

func (w *world) crash(percent int) {
	if w.rng.IntN(2) == 0 {
		w.faults.heal()
	}
	w.broken()
	boundary := w.engine.Ingest.Boundary()
	disk, err := w.engine.Crash(percent, w.rng)
	w.faults.heal()
	if err != nil {
		w.Fatal(err)
	}
	w.note("crashed with %d%% at boundary %s", percent, boundary)
	w.conf.Disk = disk
	w.again(boundary)
}

func (w *world) restart() {
	w.broken()
	w.faults.heal()
	w.mend()
	boundary := w.engine.Ingest.Boundary()
	if err := w.engine.Stop(); err != nil {
		w.Fatal(err)
	}
	w.again(boundary)
}

// hurt makes a consumer fail: once, or until somebody heals it.
func (w *world) hurt() {
	if len(w.peers) == 0 {
		return
	}
	c := w.peers[w.rng.IntN(len(w.peers))]
	sp := w.engine.Registry.ByHandle(c.Handle)
	if sp == nil {
		return
	}
	x := &fault{left: []int{1, 2, 1000}[w.rng.IntN(3)]}
	switch w.rng.IntN(3) {
	case 0:
		x.panics = true
	case 1:
		x.slow = time.Duration(w.rng.Int64N(int64(w.conf.Grace)))
		x.left = min(x.left, 20)
	}
	w.note("%s: %+v", c.Handle, x)
	// Several strikes at one place may come together, also of one-time faults.
	w.twins(c.Handle, func(c *client) { c.hurt = true })
	w.faults.add(sp.ID(), x)
	if w.rng.IntN(2) == 0 {
		w.storm()
		time.Sleep(time.Duration(w.rng.IntN(8)) * w.conf.Grace)
	}
}

func (w *world) heal() {
	w.faults.heal()
	w.mend()
}

func (w *world) mend() {
	w.conf.Disk.Fill(false)
	w.conf.Disk.Slow(0)
	w.conf.Disk.Stick(false)
}

func (w *world) sicken() {
	switch w.rng.IntN(3) {
	case 0:
		w.conf.Disk.Fill(true)
	case 1:
		w.conf.Disk.Slow(time.Duration(w.rng.IntN(1000)) * time.Millisecond)
	case 2:
		w.conf.Disk.Stick(true)
	}
}

// freeze stops all consumers and the disk for a while, as a stopped process has
// it. Nobody is to blame for that, so it excuses nothing.
func (w *world) freeze() {
	w.conf.Disk.Stick(true)
	w.faults.freeze()
	w.storm()
	time.Sleep(time.Duration(w.rng.Int64N(int64(10 * w.conf.Grace))))
	w.conf.Disk.Stick(false)
	w.faults.thaw()
}

func (w *world) failSnapshot() {
	w.conf.Database.Fail.Add(1)
	w.broken()
}

func (w *world) remove() {
	if len(w.peers) == 0 || w.rng.IntN(2) == 0 {
		return
	}
	c := w.peers[w.rng.IntN(len(w.peers))]
	if sp := w.engine.Registry.ByHandle(c.Handle); sp != nil {
		w.twins(c.Handle, func(c *client) { c.removed = true })
		w.engine.Ingest.Remove(sp, shape.ReasonDeleted, "")
	}
}

// settle ends all faults and transactions and waits until everybody has seen
// everything and nothing is held.
func (w *world) settle() {
	w.heal()
	for len(w.open) > 0 {
		w.finish()
	}
	w.conf.Database.Fail.Store(0)
	if !w.connected {
		w.reconnect()
	}
	end := w.pg.End()
	for _, c := range w.peers {
		w.until("a client to come to the end", func() bool {
			ok := w.pollOne(c)
			end = max(end, w.pg.End()) // a new shape may move it
			return ok && c.Seen+1 >= end
		})
	}
	w.until("the boundary to come to the end", func() bool {
		st := w.engine.Ingest.Status()
		return st.Boundary >= end && !st.Held && len(st.Ghosts) == 0 && st.Lagging == 0
	})
	for _, c := range w.peers {
		if err := c.Reread(w.engine.Registry); err != nil {
			w.gone(c, err)
		}
	}
}

func (w *world) until(what string, f func() bool) {
	for range 3000 {
		if f() {
			return
		}
		w.look()
		time.Sleep(100 * time.Millisecond)
	}
	w.Fatalf("waited in vain for %s, the log's end %s", what, w.pg.End())
}
