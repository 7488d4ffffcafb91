package admin

import (
	"sync"
	"time"
)

const (
	sampleEvery = time.Second
	// plotSpan is how far back the plots reach.
	plotSpan = 15 * time.Minute
	samples  = int(plotSpan / sampleEvery)
)

// moment is what the plots show of one second.
type moment struct {
	at       time.Time
	retained int64 // bytes of WAL that Postgres keeps for us; -1: not known
	journal  int64 // bytes on disk
}

// sampler remembers the last quarter of an hour. Its goroutine is the only
// writer, and ends with Close. A page that samples when it is asked would show
// nothing to whoever opens it because of an alarm.
type sampler struct {
	src  Source
	stop chan struct{}
	done chan struct{} // closed when the goroutine has ended

	mu   sync.Mutex // leaf lock
	ring [samples]moment
	n    int // samples ever taken; the next goes to n % samples
}

func newSampler(src Source) *sampler {
	s := &sampler{src: src, stop: make(chan struct{}), done: make(chan struct{})}
	s.take(time.Now())
	go s.run()
	return s
}

func (s *sampler) run() {
	defer close(s.done)
	t := time.NewTicker(sampleEvery)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			s.take(now)
		case <-s.stop:
			return
		}
	}
}

func (s *sampler) take(now time.Time) {
	st := s.src.Status()
	x := moment{at: now, retained: -1, journal: st.Journal.Bytes}
	if r := st.Postgres.RetainedBytes; r != nil {
		x.retained = *r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring[s.n%samples] = x
	s.n++
}

// all returns the samples, oldest first.
func (s *sampler) all() []moment {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n <= samples {
		return append([]moment(nil), s.ring[:s.n]...)
	}
	at := s.n % samples
	return append(append(make([]moment, 0, samples), s.ring[at:]...), s.ring[:at]...)
}

func (s *sampler) close() {
	close(s.stop)
	<-s.done
}
