package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// play follows a script until a number of batches have come, or an error, and
// returns both in lines.
func play(s *script, stream *ShapeStream, batches int) string {
	ctx, cancel := context.WithTimeout(s.t.Context(), 24*time.Hour)
	defer cancel()
	defer stream.Close()
	var lines []string
	for range batches {
		batch, err := stream.Next(ctx)
		if err != nil {
			lines = append(lines, "error: "+err.Error())
			break
		}
		lines = append(lines, said(batch))
	}
	return strings.Join(lines, "\n")
}

// Each kind of answer, and what a stream makes of it.
func TestAnswers(t *testing.T) {
	first := log("h1", "0_0", false, row("insert", 1, 5), snapshotEnd)
	end := log("h1", "0_inf", false, upToDate(7))
	poll := log("h1", "0_inf", true, upToDate(7)).after(20 * time.Second)
	for _, c := range []struct {
		name    string
		o       Options
		answers []answer
		batches int
		want    string // batches, one a line
		seen    string // requests, one a line
	}{
		{
			name:    "the walk",
			answers: []answer{first, end, log("h1", "9_0", true, row("update", 1, 6, at(9, 0, 910)), upToDate(9)), poll},
			batches: 3,
			want:    "insert 1=5, snapshot-end\nup-to-date\nupdate 1=6, up-to-date",
			seen: "offset=-1\noffset=0_0 handle=h1\n" +
				"offset=0_inf handle=h1 live=true cursor=",
		},
		{
			name:    "the cursor comes back",
			answers: []answer{first, end, poll, poll},
			batches: 4,
			want:    "insert 1=5, snapshot-end\nup-to-date\nup-to-date\nup-to-date",
			seen: "offset=-1\noffset=0_0 handle=h1\noffset=0_inf handle=h1 live=true cursor=\n" +
				"offset=0_inf handle=h1 live=true cursor=77",
		},
		{
			name:    "resumed",
			o:       Options{From: Position{Handle: "h1", Offset: "4_2"}},
			answers: []answer{log("h1", "9_0", false, row("insert", 2, 1), upToDate(9))},
			batches: 1,
			want:    "insert 2=1, up-to-date",
			seen:    "offset=4_2 handle=h1",
		},
		{
			name:    "from now",
			o:       Options{From: Now},
			answers: []answer{log("h1", "9_0", false, upToDate(9)), poll},
			batches: 2,
			want:    "up-to-date\nup-to-date",
			seen:    "offset=now\noffset=9_0 handle=h1 live=true cursor=",
		},
		{
			name:    "once",
			o:       Options{Once: true},
			answers: []answer{first, end},
			batches: 3,
			want:    "insert 1=5, snapshot-end\nup-to-date\nerror: EOF",
			seen:    "offset=-1\noffset=0_0 handle=h1",
		},
		{
			name:    "an empty answer that moves on",
			answers: []answer{first, log("h1", "0_1", false), end},
			batches: 2,
			want:    "insert 1=5, snapshot-end\nup-to-date",
			seen:    "offset=-1\noffset=0_0 handle=h1\noffset=0_1 handle=h1",
		},
		{
			name:    "204 of old servers",
			answers: []answer{first, end, func(w http.ResponseWriter, _ *http.Request) { head(w, "h1", "0_inf", true); w.WriteHeader(204) }, log("h1", "9_0", true, row("insert", 2, 1), upToDate(9))},
			batches: 3,
			want:    "insert 1=5, snapshot-end\nup-to-date\ninsert 2=1, up-to-date",
			seen: "offset=-1\noffset=0_0 handle=h1\noffset=0_inf handle=h1 live=true cursor=\n" +
				"offset=0_inf handle=h1 live=true cursor=77",
		},
		{
			name:    "409 with the new handle",
			answers: []answer{first, rotated("h2"), log("h2", "0_0", false, row("insert", 3, 1)), log("h2", "0_inf", false, upToDate(9)), log("h2", "0_inf", true, upToDate(9))},
			batches: 5,
			want:    "insert 1=5, snapshot-end\nmust-refetch\ninsert 3=1\nup-to-date\nup-to-date",
			seen: "offset=-1\noffset=0_0 handle=h1\noffset=-1 handle=h2 busted expired=h1\n" +
				"offset=0_0 handle=h2 busted expired=h1\noffset=0_inf handle=h2 live=true cursor=",
		},
		{
			name:    "409 without a handle",
			answers: []answer{first, rotated(""), log("h2", "0_0", false, row("insert", 3, 1))},
			batches: 3,
			want:    "insert 1=5, snapshot-end\nmust-refetch\ninsert 3=1",
			seen:    "offset=-1\noffset=0_0 handle=h1\noffset=-1 busted expired=h1",
		},
		{
			name:    "409 from now",
			o:       Options{From: Now},
			answers: []answer{log("h1", "9_0", false, upToDate(9)), rotated("h2"), log("h2", "0_inf", false, upToDate(9))},
			batches: 3,
			want:    "up-to-date\nmust-refetch\nup-to-date",
			seen:    "offset=now\noffset=9_0 handle=h1 live=true cursor=\noffset=now handle=h2 busted expired=h1",
		},
		{
			name:    "400",
			answers: []answer{status(400, `{"message":"Invalid request","errors":{"where":["At location 3: no"],"subset":{"limit":["must be greater than 0"]}}}`)},
			batches: 1,
			want:    "error: the server answers 400 Bad Request: Invalid request; subset.limit: must be greater than 0; where: At location 3: no",
			seen:    "offset=-1",
		},
		{
			name:    "401",
			answers: []answer{status(401, `{"message":"Unauthorized - Invalid API secret"}`)},
			batches: 1,
			want:    "error: the server answers 401 Unauthorized: Unauthorized - Invalid API secret",
			seen:    "offset=-1",
		},
		{
			name:    "404 of something else",
			answers: []answer{status(404, "Not found")},
			batches: 1,
			want:    "error: the server answers 404 Not Found: Not found",
			seen:    "offset=-1",
		},
		{
			name:    "a page that is no shape",
			answers: []answer{status(200, "<html>")},
			batches: 1,
			want:    "error: not an answer of the Electric protocol: it has no header electric-handle; is the URL that of /v1/shape, and does a proxy remove headers?",
			seen:    "offset=-1",
		},
		{
			name:    "what passes is retried",
			answers: []answer{status(503, `{"message":"starting"}`), status(500, "?"), status(429, ""), status(408, ""), status(304, ""), cut("h1", "0_0", "["+row("insert", 1, 5)+","), first},
			batches: 1,
			want:    "insert 1=5, snapshot-end",
			seen:    strings.Repeat("offset=-1\n", 6) + "offset=-1",
		},
		{
			name:    "a stale cache is asked past",
			answers: []answer{first, rotated(""), first, first, log("h2", "0_0", false, row("insert", 3, 1))},
			batches: 3,
			want:    "insert 1=5, snapshot-end\nmust-refetch\ninsert 3=1",
			seen:    "offset=-1\noffset=0_0 handle=h1" + strings.Repeat("\noffset=-1 busted expired=h1", 3),
		},
		{
			name:    "a cache that ignores parameters",
			answers: []answer{first, rotated(""), first},
			batches: 3,
			want:    "insert 1=5, snapshot-end\nmust-refetch\nerror: " + ErrStaleCache.Error(),
			seen:    "offset=-1\noffset=0_0 handle=h1" + strings.Repeat("\noffset=-1 busted expired=h1", 4),
		},
		{
			name:    "an answer of another log",
			answers: []answer{first, log("h7", "0_inf", false, upToDate(7)), end},
			batches: 2,
			want:    "insert 1=5, snapshot-end\nup-to-date",
			seen:    "offset=-1\noffset=0_0 handle=h1\noffset=0_0 handle=h1 busted",
		},
		{
			name:    "no progress",
			answers: []answer{first, log("h1", "0_0", false)},
			batches: 4,
			want:    "insert 1=5, snapshot-end\nmust-refetch\nerror: " + ErrNoProgress.Error(),
			seen: "offset=-1\noffset=0_0 handle=h1" + strings.Repeat("\noffset=0_0 handle=h1 busted", 4) +
				"\noffset=-1 busted" + strings.Repeat("\noffset=0_0 handle=h1 busted", 5),
		},
		{
			name:    "silence",
			answers: []answer{first, end, hang, log("h1", "9_0", true, row("insert", 2, 1), upToDate(9))},
			batches: 3,
			want:    "insert 1=5, snapshot-end\nup-to-date\ninsert 2=1, up-to-date",
			seen:    "offset=-1\noffset=0_0 handle=h1" + strings.Repeat("\noffset=0_inf handle=h1 live=true cursor=", 2),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, answers: c.answers}
				got := play(s, s.stream(c.o), c.batches)
				if got != c.want {
					t.Errorf("it gives\n%s\nwant\n%s", got, c.want)
				}
				if seen := s.seen(); seen != c.seen {
					t.Errorf("it asks\n%s\nwant\n%s", seen, c.seen)
				}
			})
		})
	}
}

// A call of Next that is given up costs nothing: the next one gets what came
// meanwhile, over the same event stream or another.
func TestNextGivenUp(t *testing.T) {
	for _, sse := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			change := log("h1", "9_0", true, row("insert", 2, 1, at(9, 0, 910)), upToDate(9))
			if sse {
				change = eventStream("h1", "9_0", event(row("insert", 2, 1, at(9, 0, 910))), event(upToDate(9)), "")
			}
			s := &script{t: t, answers: []answer{log("h1", "0_inf", false, upToDate(7)), hang, change}}
			stream := s.stream(Options{SSE: sse})
			defer stream.Close()
			if _, err := stream.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := stream.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%v, want the deadline", err)
			}
			batch, err := stream.Next(t.Context())
			if err != nil || said(batch) != "insert 2=1, up-to-date" {
				t.Errorf("%s %v", said(batch), err)
			}
		})
	}
}

// A must-refetch is delivered even if the caller gives up while the stream waits
// before it asks again.
func TestRefetchNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answers: []answer{log("h1", "0_0", false, row("insert", 1, 5)), rotated("h2"),
			log("h2", "0_0", false, row("insert", 2, 5)), rotated("h3"), log("h3", "0_0", false, row("insert", 3, 5))}}
		stream := s.stream(Options{MinBackoff: time.Hour, MaxBackoff: time.Hour})
		if got, want := play(s, stream, 3), "insert 1=5\nmust-refetch\ninsert 2=5"; got != want {
			t.Fatal(got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		if batch, err := stream.Next(ctx); err == nil {
			t.Fatalf("%s, want nothing yet", said(batch))
		}
		if got, want := play(s, stream, 2), "must-refetch\ninsert 3=5"; got != want {
			t.Error(got)
		}
	})
}

// Waits grow, have a limit, are no shorter than Retry-After asks, and begin
// again after a success.
func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := status(503, `{"message":"Concurrent existing request limit exceeded"}`, "Retry-After", "7")
		down := status(503, `{"message":"starting"}`)
		s := &script{t: t, answers: []answer{busy, down, down, down, down, down, down, down, log("h1", "0_0", false, row("insert", 1, 5)), down, log("h1", "0_inf", false, upToDate(7))}}
		var waits []time.Duration
		stream := s.stream(Options{MinBackoff: time.Second, MaxBackoff: 10 * time.Second, OnRetry: func(err error, wait time.Duration) {
			var e *Error
			if !errors.As(err, &e) || e.Status != 503 {
				t.Errorf("retried because of %v", err)
			}
			waits = append(waits, wait)
		}})
		if got := play(s, stream, 2); got != "insert 1=5\nup-to-date" {
			t.Fatal(got)
		}
		limits := []time.Duration{7 + 1, 2, 4, 8, 10, 10, 10, 10, 1}
		if len(waits) != len(limits) {
			t.Fatalf("%d waits", len(waits))
		}
		if waits[0] < 7*time.Second {
			t.Errorf("waited %s, Retry-After says 7 s", waits[0])
		}
		for i, w := range waits {
			if w > limits[i]*time.Second {
				t.Errorf("wait %d is %s, want at most %d s", i, w, limits[i])
			}
		}
		for i, w := range waits[:8] {
			if d := s.times[i+1].Sub(s.times[i]); d != w {
				t.Errorf("request %d came after %s, announced %s", i+1, d, w)
			}
		}
	})
}

// Empty live answers that come at once do not make a loop.
func TestHastyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answers: []answer{log("h1", "0_inf", false, upToDate(7)), log("h1", "0_inf", true, upToDate(7))}}
		stream := s.stream(Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for {
			if _, err := stream.Next(ctx); err != nil {
				break
			}
		}
		if n := len(s.requests); n > 1000 {
			t.Errorf("%d requests in a minute", n)
		}
	})
}

func TestMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answers: []answer{log("h1", "0_0", false, row("insert", 1, 5), row("insert", 2, 5), snapshotEnd), log("h1", "0_inf", false, upToDate(7))}}
		stream := s.stream(Options{Once: true})
		for m, err := range stream.Messages(t.Context()) {
			if err != nil || said([]Message{m}) != "insert 1=5" {
				t.Fatal(said([]Message{m}), err)
			}
			break
		}
		if p := stream.Position(); p != (Position{}) {
			t.Errorf("position %v while the rest of the answer is not delivered", p)
		}
		var got []string
		for m, err := range stream.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, said([]Message{m}))
		}
		if all := strings.Join(got, ", "); all != "insert 2=5, snapshot-end, up-to-date" {
			t.Error(all)
		}
		if p := stream.Position(); p != (Position{"h1", "0_inf"}) {
			t.Errorf("position %v", p)
		}
		if c := stream.Schema()["id"]; c.Type != "int4" || c.PKIndex == nil || *c.PKIndex != 0 || !c.NotNull {
			t.Errorf("column id is %+v", c)
		}
		if _, err := stream.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answers: []answer{hang}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n := 0
		for _, err := range s.stream(Options{}).Messages(ctx) {
			if n++; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want the deadline", err)
			}
		}
		if n != 1 {
			t.Errorf("%d elements", n)
		}
	})
}

// What the caller asks for is what the server is told.
func TestOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answers: []answer{status(400, "")}}
		stream := s.stream(Options{
			Table: `app."Big Boats"`, Where: "crew > $1 AND name = $2", Params: []string{"3", "A&B"}, Columns: []string{"id", `a"b`},
			Replica: ReplicaFull, Log: LogChangesOnly, Secret: "geheim", Query: map[string][]string{"tenant": {"7"}}, Header: http.Header{"authorization": {"Bearer x"}},
		})
		stream.Next(t.Context())
		const want = `columns=%22id%22%2C%22a%22%22b%22&log=changes_only&offset=-1&params%5B1%5D=3&params%5B2%5D=A%26B&replica=full&secret=geheim&table=app.%22Big+Boats%22&tenant=7&where=crew+%3E+%241+AND+name+%3D+%242`
		if got := s.requests[0].URL.RawQuery; got != want {
			t.Errorf("it asks %s", got)
		}
		if got := s.requests[0].Header.Get("Authorization"); got != "Bearer x" {
			t.Errorf("header %q", got)
		}
	})
	for want, o := range map[string]Options{
		"URL is empty":       {},
		"http://":            {URL: "127.0.0.1:3000"},
		"no handle":          {URL: "http://a", From: Position{Offset: "4_2"}},
		"Timeout":            {URL: "http://a", HTTPClient: &http.Client{Timeout: time.Second}},
		`must not have "o`:   {URL: "http://a", Query: map[string][]string{"offset": {"4"}}},
		"invalid URL escape": {URL: "http://a/%zz?secret=geheim"},
		"not be negative":    {URL: "http://a", MinBackoff: -1},
	} {
		if _, err := NewShapeStream(o); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%v, want something with %q", err, want)
		}
	}
}

// The secret is in the URL, which net/http puts into errors.
func TestSecretNotTold(t *testing.T) {
	told := make(chan error, 1)
	stream, err := NewShapeStream(Options{URL: "http://127.0.0.1:1/v1/shape", Secret: "geheim", OnRetry: func(err error, _ time.Duration) {
		select {
		case told <- err:
		default:
		}
	}, MinBackoff: 1, MaxBackoff: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if err := <-told; strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), "127.0.0.1:1") {
			t.Errorf("it tells %v", err)
		}
		cancel()
	}()
	if _, err := stream.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "999999": time.Hour,
		"Sat, 31 Jan 2026 10:00:30 GMT": 30 * time.Second, "Sat, 31 Jan 2026 09:00:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
