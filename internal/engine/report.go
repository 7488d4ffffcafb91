package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"time"
)

const (
	// traceAge and traceBytes are how much of the past a report holds.
	traceAge   = 10 * time.Second
	traceBytes = 8 << 20
)

// recorder keeps the last seconds of the runtime's trace while there are so many
// ghosts that they may become too many: it costs the others something.
type recorder struct{ flight *trace.FlightRecorder }

// follow switches it on and off with the number of ghosts; limit is how many are
// borne with.
func (r *recorder) follow(ghosts, limit int) error {
	switch {
	case ghosts > limit/2 && r.flight == nil:
		f := trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: traceAge, MaxBytes: traceBytes})
		if err := f.Start(); err != nil {
			return fmt.Errorf("start the flight recorder: %w", err)
		}
		r.flight = f
	case ghosts == 0 && r.flight != nil:
		r.flight.Stop()
		r.flight = nil
	}
	return nil
}

// spared is how many ghosts are given a processor of their own.
const spared = 4

// spare gives each ghost a processor beside our own ones, which may be fewer than the
// machine has: a container's limit, or GOMAXPROCS. One that loops
// for ever takes the runtime's processor that it is on for 10 ms at a time, whoever
// waits there; with one more it is the kernel that shares the cores, and it wakes
// those who sleep at once. One that waits needs none, which costs nothing.
func spare(own, ghosts int) {
	if ghosts == 0 && os.Getenv("GOMAXPROCS") == "" {
		runtime.SetDefaultGOMAXPROCS() // which follows the container's limit again
		return
	}
	runtime.GOMAXPROCS(own + min(ghosts, spared))
}

// report writes what the process did last, and all stacks, into files in the
// data directory, and says where.
func (e *Engine) report() (dir string, err error) {
	dir = e.path("reports")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return dir, fmt.Errorf("make the directory for reports: %w", err)
	}
	stamp := time.Now().UTC().Format("20060102T150405Z")
	err = writeFile(filepath.Join(dir, stamp+".stacks.txt"), func(f *os.File) error {
		return pprof.Lookup("goroutine").WriteTo(f, 2)
	})
	e.mu.Lock()
	flight := e.recorder.flight
	e.mu.Unlock()
	if flight == nil {
		return dir, err
	}
	return dir, errors.Join(err, writeFile(filepath.Join(dir, stamp+".trace"), func(f *os.File) error {
		_, err := flight.WriteTo(f)
		return err
	}))
}

func writeFile(name string, fill func(*os.File) error) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write a report: %w", err)
	}
	if err := errors.Join(fill(f), f.Close()); err != nil {
		return fmt.Errorf("write the report %s: %w", name, err)
	}
	return nil
}
