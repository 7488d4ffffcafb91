package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/verify"
)

// Only what can be compared is: a shape that is named and cannot be is an error,
// among all it is left out.
func TestVerifyChooses(t *testing.T) {
	t.Parallel()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") != "0" {
			fmt.Fprint(w, `{"shapes":[]}`)
			return
		}
		fmt.Fprint(w, `{"shapes":[{"id":1,"handle":"a","state":"live"},{"id":2,"handle":"b","state":"snapshotting"},
			{"id":3,"handle":"c","state":"quarantined"},{"id":4,"handle":"d","state":"live","changes_only":true},{"id":5,"handle":"e","state":"live"}]}`)
	}))
	t.Cleanup(service.Close)
	addr := strings.TrimPrefix(service.URL, "http://")
	for _, c := range []struct {
		handles []string
		sample  int
		want    int
		err     string
	}{
		{nil, 0, 2, ""},
		{nil, 1, 1, ""},
		{[]string{"e"}, 0, 1, ""},
		{[]string{"b"}, 0, 0, "shape b is snapshotting"},
		{[]string{"a", "c"}, 0, 0, "shape c is quarantined"},
		{[]string{"d"}, 0, 0, "shape d has changes only"},
		{[]string{"x"}, 0, 0, "no shape x lives there"},
	} {
		got, err := (&verifyCmd{Handles: c.handles, AdminAddr: addr, Sample: c.sample}).shapes(t.Context())
		if len(got) != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%v, sample %d: %d shapes, %v", c.handles, c.sample, len(got), err)
		}
	}
}

// How far a long work is: a line that changes for a person, now and then a line for a
// log, and nothing where it is quick.
func TestVerifyProgress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		terminal bool
		last     time.Duration // since something was shown
		want     string
	}{
		{true, time.Second, "\r\x1b[Kshape 2 of 9, s.t: 5,000 rows read, 1,234,000 messages of its log"},
		{true, 0, ""},
		{false, time.Minute, "shape 2 of 9, s.t: 5,000 rows read, 1,234,000 messages of its log\n"},
		{false, time.Second, ""},
	} {
		var b strings.Builder
		p := &verifyProgress{to: &b, terminal: c.terminal, shapes: 9, n: 2, of: verify.Shape{Schema: "s", Table: "t"}, shown: time.Now().Add(-c.last)}
		p.at(verify.Checkpoint{Rows: 5000, Messages: 1233999}) // not asked what time it is
		p.at(verify.Checkpoint{Rows: 5000, Messages: 1234000})
		if b.String() != c.want {
			t.Errorf("terminal %t, after %s: %q", c.terminal, c.last, b.String())
		}
		p.clear()
		if cleared := strings.HasSuffix(b.String(), "\r\x1b[K"); cleared != (c.terminal && c.want != "") {
			t.Errorf("terminal %t, after %s: cleared: %t", c.terminal, c.last, cleared)
		}
	}
}

// What it writes and what it needs is told by itself.
func TestVerifyHelp(t *testing.T) {
	t.Parallel()
	help := verifyCmd{}.Help()
	for _, part := range []string{"SELECT on the tables and nothing else", "pg_logical_emit_message", "--memory"} {
		if !strings.Contains(help, part) {
			t.Errorf("the help does not tell: %s", part)
		}
	}
}
