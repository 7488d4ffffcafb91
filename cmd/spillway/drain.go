package main

import (
	"io"
	"os"
	"sync"
	"time"
)

// drainLines is how many lines of the log may wait for whoever reads them.
const drainLines = 4096

// drain writes the log behind the backs of those who log: a full pipe that nobody reads,
// as of a collector that hangs, must not stop the stream of all shapes. Lines that find
// no room are counted and left out. Its methods may be called from any goroutine.
type drain struct {
	to   io.Writer
	note func(dropped int) []byte // a line that says how many were left out

	mu      sync.Mutex // leaf lock
	lines   [][]byte
	dropped int
	writing bool
	idle    chan struct{} // closed when nothing waits; made by flush
}

// logs is where this process logs to.
var logs = &drain{to: os.Stderr}

// logsLimit is how long the end of the process waits for whoever reads its log.
const logsLimit = time.Second

func (d *drain) setNote(note func(dropped int) []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note = note
}

// Write takes a line. It never waits, and never fails: there would be nobody to tell.
func (d *drain) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.lines) >= drainLines {
		d.dropped++
		return len(line), nil
	}
	if d.dropped > 0 {
		d.lines = append(d.lines, d.note(d.dropped))
		d.dropped = 0
	}
	d.lines = append(d.lines, append([]byte(nil), line...))
	if !d.writing {
		d.writing = true
		go d.run()
	}
	return len(line), nil
}

// run writes what waits, and ends. Nobody can wait for it longer than flush does: the
// write that it is in may never return.
func (d *drain) run() {
	for {
		line := d.next()
		if line == nil {
			return
		}
		_, _ = d.to.Write(line) // there is nowhere to say that it failed
	}
}

func (d *drain) next() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.lines) == 0 && d.dropped > 0 {
		line := d.note(d.dropped)
		d.dropped = 0
		return line
	}
	if len(d.lines) == 0 {
		d.writing = false
		if d.idle != nil {
			close(d.idle)
			d.idle = nil
		}
		return nil
	}
	line := d.lines[0]
	d.lines[0] = nil
	if d.lines = d.lines[1:]; len(d.lines) == 0 {
		d.lines = nil
	}
	return line
}

// flush waits until all that was logged is written, but not longer than a limit.
func (d *drain) flush(limit time.Duration) {
	d.mu.Lock()
	if !d.writing {
		d.mu.Unlock()
		return
	}
	if d.idle == nil {
		d.idle = make(chan struct{})
	}
	idle := d.idle
	d.mu.Unlock()
	select {
	case <-idle:
	case <-time.After(limit):
	}
}
