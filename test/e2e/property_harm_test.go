package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// harm is what the test does to the service, and what follows from it for shapes.
type harm struct {
	began, over atomic.Int64 // crashes that began, and after which the service is back

	mu sync.Mutex
	// live are the handles of shapes that were it before a crash. First rows may be told,
	// and many changes with them, long before the disk has said that it has them.
	live map[string]bool
	// faults are how many a shape had.
	faults map[string]int
}

// strikes is how many faults at one place end a shape's log (docs/chaos.md). They may
// all be at one place, if the shape does not get on meanwhile.
const strikes = 3

// excuses says that a shape may have gone for what was done since the end of so many
// crashes.
func (h *harm) excuses(handle string, crashes int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.faults[handle] >= strikes || !h.live[handle] && h.began.Load() > crashes
}

func (h *harm) alive(handle string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.live == nil {
		h.live = make(map[string]bool)
	}
	h.live[handle] = true
}

func (h *harm) fault(handle string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.faults == nil {
		h.faults = make(map[string]int)
	}
	h.faults[handle]++
}

// crash kills the service and starts it again.
func (p *property) crash() {
	p.count("crash")
	for _, s := range p.list("") {
		if s.State != "snapshotting" {
			p.harm.alive(s.Handle)
		}
	}
	p.harm.began.Add(1)
	p.service.kill()
	p.service.start()
	p.harm.over.Add(1)
}

// fault makes the consumer of one shape fail once.
func (p *property) fault() {
	kind, n := []string{"block", "panic", "spin"}[p.rng.IntN(3)], p.rng.Int()
	live := slices.DeleteFunc(p.list(""), func(s listing) bool { return s.State != "live" })
	if len(live) == 0 {
		return
	}
	handle := live[n%len(live)].Handle
	p.count(kind)
	p.harm.fault(handle)
	// It may have been given up since.
	body := fmt.Sprintf(`{"fault":%q,"shape":%q,"times":1,"for":"2s"}`, kind, handle)
	if code := p.service.chaos(http.MethodPost, "", body, new(any)); code != http.StatusOK && code != http.StatusBadRequest {
		p.t.Fatalf("%s: %d", body, code)
	}
}
