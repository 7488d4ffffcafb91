package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// exitGhosts is the exit code of a process with too many workers that hang.
const exitGhosts = 5

// One worker more that hangs than the limit ends the process, with a report; the
// next start loses nothing and is rid of them.
func TestGhostLimit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newCrowd(t, "SPILLWAY_MAX_GHOSTS=1", "SPILLWAY_DATA_DIR="+dir)
	s := c.service
	s.fault(`{"fault":"block","shape":%q}`, c.victim.handle)
	c.db.Exec(tick)
	select {
	case <-s.done:
	case <-time.After(30 * time.Second):
		t.Fatal("the process goes on")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != exitGhosts {
		t.Fatalf("exit code %d", code)
	}
	reports, err := filepath.Glob(filepath.Join(dir, "reports", "*"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := ""
	for _, name := range reports {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.HasSuffix(name, ".stacks.txt") && strings.Contains(string(b), "chaos.(*fault).block"):
			kinds += " stacks"
		case strings.HasSuffix(name, ".trace") && strings.HasPrefix(string(b), "go 1."):
			kinds += " trace"
		}
	}
	if kinds != " stacks trace" {
		t.Errorf("reports %v hold%s", reports, kinds)
	}
	if log := s.log.String(); !strings.Contains(log, filepath.Join(dir, "reports")) {
		t.Error("nobody is told where the report is")
	}
	s.start()
	c.db.Exec(tick)
	c.well("after a new start")
	c.recovers("after a new start", 0)
	c.afresh("after a new start")
	s.nobodySuffered()
}

// A shape that fails as soon as it has been built anew is parked in the end: its
// clients are told why and when to come again, through a restart too, and when
// what ailed it is over it comes back by itself.
func TestParked(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, "SPILLWAY_PARK_TIME=6s")
	s := c.service
	w := watchAcks(t, c.db, tick)
	lift := s.fault(`{"fault":"panic","shape":%q,"times":100000,"heirs":true}`, c.victim.handle)
	parked := func() (code int, after, body string) {
		resp, err := http.Get(s.url + "?table=items&offset=-1")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header.Get("retry-after"), string(b)
	}
	check := func() error {
		code, after, body := parked()
		var told struct{ Message, Reason string }
		if code != http.StatusServiceUnavailable {
			return fmt.Errorf("%d %.200s", code, body)
		}
		if err := json.Unmarshal([]byte(body), &told); err != nil || told.Reason != "stalled" || told.Message == "" || after == "" {
			t.Fatalf("parked: retry-after %q, %s", after, body)
		}
		return nil
	}
	eventually(t, 60*time.Second, "the shape to be parked", check)
	w.quiet(func() { c.well("while a shape is parked") })
	st := s.stand()
	if st.Ladder.Parkings < 1 || st.Ladder.Quarantines < 1 || st.Ladder.Rebuilds < 2 || st.Shapes.Parked != 1 {
		t.Errorf("ladder %+v, shapes %+v", st.Ladder, st.Shapes)
	}
	lift()
	w.quiet(func() {
		c.well("after a shape was parked")
		c.victim.until(t, 90*time.Second, "the parked shape to come back", func() error {
			return sameRows(c.victim.items(), itemsOf(c.db, ""))
		})
	})
	if st := s.stand(); st.Shapes.Parked != 0 || st.Shapes.Quarantined != 0 {
		t.Errorf("shapes %+v", st.Shapes)
	}
	w.promise()
}
