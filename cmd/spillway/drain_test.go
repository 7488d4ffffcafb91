package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

// Whoever logs goes on while nobody reads the log, and what is read later says how much
// is missing, and where.
func TestDrain(t *testing.T) {
	r, w := io.Pipe() // nobody reads: Write waits
	d := &drain{to: w}
	d.setNote(func(n int) []byte { return fmt.Appendf(nil, "%d left out\n", n) })
	const lines = 3 * drainLines
	log := func(n int) {
		if _, err := fmt.Fprintf(d, "%d\n", n); err != nil {
			t.Error(err)
		}
	}
	for n := range lines {
		log(n)
	}
	d.flush(time.Millisecond) // returns
	in := bufio.NewScanner(r)
	read := func() string {
		if !in.Scan() {
			t.Fatal(in.Err())
		}
		return in.Text()
	}
	taken := 0
	for ; taken < lines; taken++ {
		line := read()
		if line == fmt.Sprint(taken) {
			continue
		}
		if want := fmt.Sprintf("%d left out", lines-taken); line != want {
			t.Fatalf("%q behind line %d, want %q", line, taken-1, want)
		}
		break
	}
	if taken < drainLines || taken == lines {
		t.Errorf("%d lines of %d came through", taken, lines)
	}
	log(lines)
	if line := read(); line != fmt.Sprint(lines) {
		t.Errorf("then %q", line)
	}
	go func() { log(lines + 1); d.flush(time.Minute); _ = w.Close() }()
	if line := read(); line != fmt.Sprint(lines+1) || in.Scan() {
		t.Errorf("at last %q, and %q", line, in.Text())
	}
}

// What the process ends with goes the same way.
func TestEndDoesNotWaitForAReader(t *testing.T) {
	r, w := io.Pipe()
	was := logs
	logs = &drain{to: w}
	defer func() { logs = was }()
	if code := exitCode(configError{errors.New("no port")}); code != exitConfig {
		t.Errorf("code %d", code)
	}
	logs.flush(time.Millisecond) // nobody reads yet
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil || line != "spillway: no port\n" {
		t.Errorf("%q, %v", line, err)
	}
}
