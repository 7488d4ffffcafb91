package verify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// change is a message of the log.
func change(n int) string {
	return fmt.Sprintf(`{"key":"k%d","headers":{"operation":"insert","lsn":"%d","op_position":0,"last":true,"txids":[%d]}}`, n, n, n)
}

// Who takes the log up in the middle of a page must be given what follows it there.
func TestResume(t *testing.T) {
	t.Parallel()
	var page []json.RawMessage
	for n := 100; n < 104; n++ {
		page = append(page, json.RawMessage(change(n)))
	}
	page = append(page, json.RawMessage(`{"headers":{"control":"up-to-date","global_last_seen_lsn":"104"}}`))
	for what, c := range map[string]struct {
		answer func(after int) string
		fault  string
	}{
		"all":         {func(n int) string { return "[" + strings.Join(changes(n+1, 104), ",") + "]" }, ""},
		"and more":    {func(n int) string { return "[" + strings.Join(changes(n+1, 110), ",") + "]" }, ""},
		"one at once": {func(n int) string { return "[" + change(n+1) + "]" }, ""},
		"a gap":       {func(n int) string { return "[" + change(n+2) + "]" }, "is given"},
		"twice":       {func(n int) string { return "[" + change(n) + "]" }, "is given"},
		"nothing":     {func(int) string { return "[]" }, "is given nothing"},
	} {
		for range 20 { // the place is chosen at random
			var some sample
			some.look(page)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var tx, op int
				if _, err := fmt.Sscanf(r.URL.Query().Get("offset"), "%d_%d", &tx, &op); err != nil {
					t.Error(err)
				}
				w.Header().Set("electric-handle", "h")
				fmt.Fprint(w, c.answer(tx))
			}))
			k := &check{Service: &Service{URL: server.URL}, of: Shape{Handle: "h"}}
			err := k.resume(t.Context(), &some)
			server.Close()
			if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Fatalf("%s, from %s: %v", what, some.offset, err)
			}
		}
	}
}

func changes(from, to int) (list []string) {
	for n := from; n < to; n++ {
		list = append(list, change(n))
	}
	return list
}

// A log that does not come to where the rows were read is no success, and a fault that
// passes is no failure.
func TestWalkWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seen  int
		fault string
	}{{99, "stood still for 1s before it came to 0/64; "}, {100, ""}} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked++; asked == 1 {
				http.Error(w, "not yet", http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("electric-handle", "h")
			switch {
			case r.URL.Query().Get("offset") == "-1":
				w.Header().Set("electric-offset", "0_0")
				fmt.Fprint(w, `[{"headers":{"control":"snapshot-end","xmax":"9"}}]`)
				return
			case r.URL.Query().Get("live") != "":
				<-r.Context().Done()
				return
			}
			w.Header().Set("electric-offset", "0_inf")
			fmt.Fprintf(w, `[{"headers":{"control":"up-to-date","global_last_seen_lsn":"%d"}}]`, c.seen)
		}))
		k := &check{Service: &Service{URL: server.URL, Limit: time.Second}, of: Shape{Handle: "h"}, sees: sight{until: 100}, store: newStore(1 << 20)}
		if c.fault == "" {
			k.Limit = time.Minute
		}
		err := k.walk(t.Context())
		server.Close()
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error()+"; ", c.fault) {
			t.Errorf("seen %d: %v", c.seen, err)
		}
	}
}

// A shape that is no more is no fault.
func TestWalkRotated(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusConflict, http.StatusOK} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("electric-handle", "another")
			w.WriteHeader(status)
			fmt.Fprint(w, "[]")
		}))
		k := &check{Service: &Service{URL: server.URL, Limit: time.Minute}, of: Shape{Handle: "h"}, sees: sight{until: 1}}
		if err := k.walk(t.Context()); err != ErrRotated {
			t.Errorf("%d: %v", status, err)
		}
		server.Close()
	}
}

// The password is in no error.
func TestConnectFails(t *testing.T) {
	t.Parallel()
	cfg, err := pgx.ParseConfig("postgres://u:hush@127.0.0.1:1/db")
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&Service{DB: cfg, Memory: 1 << 20}).Check(t.Context(), Shape{Handle: "h", Schema: "s", Table: "t"})
	if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "verify shape h of s.t") {
		t.Error(err)
	}
}
