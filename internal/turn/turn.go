package turn

import (
	"context"
	"sync"
)

// Turns lets so many go at once for each table. Its methods may be called from any
// goroutine.
type Turns struct {
	most int

	mu     sync.Mutex // leaf lock
	tables map[uint32]*line
}

// line is one table's, as long as somebody is in it.
type line struct {
	turns chan struct{} // holds one for each that goes
	in    int           // who goes or waits
}

// New returns Turns for at most most at once, for each table.
func New(most int) *Turns {
	return &Turns{most: most, tables: make(map[uint32]*line)}
}

// MostOf is how many of so many workers may be at one table: not all of them, as long
// as there is more than one.
func MostOf(workers int) int {
	return max(1, workers-max(1, workers/4))
}

// Take waits for a turn, in the order of coming, until ctx is done. Whoever has it
// gives it back once.
func (t *Turns) Take(ctx context.Context, table uint32) (give func(), err error) {
	l := t.join(table)
	select {
	case l.turns <- struct{}{}:
		return func() {
			<-l.turns
			t.leave(table, l)
		}, nil
	case <-ctx.Done():
		t.leave(table, l)
		return nil, ctx.Err()
	}
}

func (t *Turns) join(table uint32) *line {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.tables[table]
	if l == nil {
		l = &line{turns: make(chan struct{}, t.most)}
		t.tables[table] = l
	}
	l.in++
	return l
}

func (t *Turns) leave(table uint32, l *line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.in--; l.in == 0 {
		delete(t.tables, table)
	}
}
