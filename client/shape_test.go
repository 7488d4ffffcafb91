package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// running runs a shape for the time of a test, in its bubble.
func running(t *testing.T, s *Shape) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// held puts rows in short: "1=5 2=6".
func held(s *Shape) string {
	var out []string
	for _, r := range s.Rows() {
		out = append(out, r["id"].Text+"="+r["n"].String())
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// steps notes what subscribers are told: "+1=5 ~2=6 -3".
func steps(s *Shape) *[]string {
	var out []string
	s.Subscribe(func(u Update) {
		var cells []string
		for _, c := range u.Changes {
			switch {
			case c.Old == nil:
				cells = append(cells, "+"+c.New["id"].Text+"="+c.New["n"].String())
			case c.New == nil:
				cells = append(cells, "-"+c.Old["id"].Text)
			default:
				cells = append(cells, "~"+c.New["id"].Text+"="+c.New["n"].String())
			}
		}
		out = append(out, strings.Join(cells, " "))
	})
	return &out
}

// The states that can be seen, one script of answers after the other.
func TestShapeStates(t *testing.T) {
	live := func(offset string, messages ...string) answer { return log("h1", offset, true, messages...) }
	partial := `{"key":"\"public\".\"t\"/\"1\"","value":{"id":"1"},"headers":{"operation":"update","relation":["public","t"]}}`
	for _, c := range []struct {
		name    string
		answers []answer
		rows    string
		steps   string // separated by |
	}{
		{
			"first rows, then changes",
			[]answer{log("h1", "0_0", false, row("insert", 1, 5), row("insert", 2, 6)), log("h1", "0_inf", false, upToDate(7)),
				live("9_4", row("update", 1, 7), row("insert", 3, 1), row("delete", 2, 0), upToDate(9))},
			"1=7 3=1", "+1=5 +2=6|~1=7 -2 +3=1",
		},
		{
			"half a transaction is not shown",
			[]answer{log("h1", "0_inf", false, row("insert", 1, 5), upToDate(7)), live("9_0", row("update", 1, 6)), log("h1", "9_2", false, row("insert", 2, 6), upToDate(9))},
			"1=6 2=6", "+1=5|~1=6 +2=6",
		},
		{
			"what comes and goes between two states was never there",
			[]answer{log("h1", "0_inf", false, row("insert", 1, 5), upToDate(7)), live("9_0", row("insert", 2, 6), row("delete", 2, 6), row("update", 1, 9), row("update", 1, 5), upToDate(9))},
			"1=5", "+1=5",
		},
		{
			"columns that did not change stay",
			[]answer{log("h1", "0_inf", false, row("insert", 1, 5), upToDate(7)), live("9_0", partial, upToDate(9))},
			"1=5", "+1=5",
		},
		{
			"a row of which all is told again",
			[]answer{log("h1", "0_inf", false, row("insert", 1, 5), upToDate(7)), live("9_0", row("insert", 1, 6), row("delete", 9, 9), upToDate(9))},
			"1=6", "+1=5|~1=6",
		},
		{
			"a rotation shows as its difference",
			[]answer{log("h1", "0_inf", false, row("insert", 1, 5), row("insert", 2, 5), upToDate(7)), rotated("h2"),
				log("h2", "0_0", false, row("insert", 2, 5)), log("h2", "0_inf", false, row("insert", 3, 1), upToDate(9))},
			"2=5 3=1", "+1=5 +2=5|-1 +3=1",
		},
		{
			"a rotation during the first rows",
			[]answer{log("h1", "0_0", false, row("insert", 1, 5)), rotated(""), log("h2", "0_inf", false, row("insert", 3, 1), upToDate(9))},
			"3=1", "+3=1",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, answers: append(c.answers, hang)}
				shape := NewShape(s.stream(Options{}))
				told := steps(shape)
				running(t, shape)
				if err := shape.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second) // less than any silence
				synctest.Wait()
				if got := held(shape); got != c.rows {
					t.Errorf("rows %s, want %s", got, c.rows)
				}
				if got := strings.Join(*told, "|"); got != c.steps {
					t.Errorf("steps %s, want %s", got, c.steps)
				}
				if shape.Len() != len(shape.Rows()) || shape.Schema()["n"].Type != "int4" {
					t.Errorf("length %d, schema %v", shape.Len(), shape.Schema())
				}
			})
		})
	}
}

// While a rotation is under way the old rows are shown, all of them.
func TestShapeDuringRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answers: []answer{log("h1", "0_inf", false, row("insert", 1, 5), row("insert", 2, 5), upToDate(7)), rotated("h2"),
			log("h2", "0_0", false, row("insert", 2, 6)), log("h2", "0_inf", false, upToDate(9)).after(time.Minute), hang}}
		shape := NewShape(s.stream(Options{}))
		running(t, shape)
		time.Sleep(30 * time.Second)
		if got := held(shape); got != "1=5 2=5" {
			t.Errorf("during: %s", got)
		}
		if err := wait(shape.Changed(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := held(shape); got != "2=6" {
			t.Errorf("after: %s", got)
		}
		r, ok := shape.Row(`"public"."t"/"2"`)
		if !ok || r["n"] != Text("6") {
			t.Errorf("row %v", r)
		}
		if p := shape.Position(); p != (Position{"h2", "0_inf"}) {
			t.Errorf("position %v", p)
		}
	})
}

// wait waits for the next state.
func wait(changed <-chan struct{}, limit time.Duration) error {
	select {
	case <-changed:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("no new state in %s", limit)
	}
}

func TestAwaitTx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answers: []answer{
			log("h1", "0_0", false, row("insert", 1, 5), snapshotEnd), log("h1", "0_inf", false, upToDate(7)),
			log("h1", "9_0", true, row("insert", 2, 6, at(9, 0, 903)), upToDate(9)).after(time.Minute / 2),
			log("h1", "12_0", true, row("insert", 3, 6, at(12, 0, 910)), upToDate(12)).after(time.Minute / 2), hang}}
		shape := NewShape(s.stream(Options{}))
		began := time.Now()
		running(t, shape)
		for _, c := range []struct {
			xid  uint64
			took time.Duration
		}{
			{900, 0}, {904, 0}, // in the first rows
			{903, time.Minute / 2}, // was running then
			{7<<32 + 910, time.Minute}, {903, time.Minute},
		} {
			if err := shape.AwaitTx(t.Context(), c.xid); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != c.took {
				t.Errorf("transaction %d after %s, want %s", c.xid, took, c.took)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := shape.AwaitTx(ctx, 911); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a transaction that did not come: %v", err)
		}
	})
}

// Run ends with what cannot be mended, tells it to all who wait, and can run again.
func TestShapeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answers: []answer{status(401, `{"message":"no"}`), log("h1", "0_inf", false, row("insert", 1, 5), upToDate(7))}}
		shape := NewShape(s.stream(Options{Once: true}))
		waited := make(chan error)
		go func() { waited <- shape.Wait(t.Context()) }()
		synctest.Wait()
		var refused *Error
		if err := shape.Run(t.Context()); !errors.As(err, &refused) || refused.Status != 401 {
			t.Fatalf("%v", err)
		}
		if err := <-waited; !errors.As(err, &refused) {
			t.Errorf("who waits is told %v", err)
		}
		if err := shape.Load(t.Context(), Subset{}); !errors.As(err, &refused) {
			t.Errorf("who loads is told %v", err)
		}
		if err := shape.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := shape.Wait(t.Context()); err != nil || held(shape) != "1=5" {
			t.Errorf("%v, rows %s", err, held(shape))
		}
		if err := shape.AwaitTx(t.Context(), 999); !errors.Is(err, errDone) {
			t.Errorf("after the end: %v", err)
		}
	})
	for name, message := range map[string]string{
		"a change of a row that was never sent": row("update", 7, 7),
		"a subquery":                            `{"headers":{"event":"move-out","patterns":[{"pos":0,"value":"9c"}]}}`,
		"an operation that nobody knows":        row("merge", 7, 7),
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{t: t, answers: []answer{log("h1", "0_inf", false, row("insert", 1, 5), upToDate(7)), log("h1", "9_0", true, row("insert", 2, 5), message, upToDate(9)),
				log("h1", "0_inf", false, row("insert", 1, 5), row("insert", 3, 3), upToDate(9)), hang}}
			shape := NewShape(s.stream(Options{}))
			if err := shape.Run(t.Context()); err == nil {
				t.Errorf("%s: no error", name)
			}
			if got := held(shape); got != "1=5" {
				t.Errorf("%s: rows %s", name, got)
			}
			changed := shape.Changed() // before it runs, or what it comes to may be no news any more
			running(t, shape)
			if err := wait(changed, time.Minute); err != nil || held(shape) != "1=5 3=3" {
				t.Errorf("%s, again: %v, rows %s", name, err, held(shape))
			}
		})
	}
}

// subsets answers a POST; other requests go to the script.
type subsets struct {
	script
	post   []answer
	bodies []string
}

func (s *subsets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		s.script.ServeHTTP(w, r)
		return
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.bodies = append(s.bodies, r.URL.Query().Get("handle")+" "+string(b))
	s.post[min(len(s.bodies), len(s.post))-1](w, r)
}

func subset(xmin, xmax string, xips string, lsn int, rows ...string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		head(w, "h1", "0_inf", false)
		fmt.Fprintf(w, `{"metadata":{"xmin":%q,"xmax":%q,"xip_list":[%s],"database_lsn":"%d","snapshot_mark":5},"data":[%s]}`,
			xmin, xmax, xips, lsn, strings.Join(rows, ","))
	}
}

func (s *subsets) shape(replica Replica) *Shape {
	s.t.Helper()
	stream, err := NewShapeStream(Options{URL: "http://test/v1/shape", HTTPClient: &http.Client{Transport: inProcess{s}}, Log: LogChangesOnly, From: Now, Replica: replica})
	if err != nil {
		s.t.Fatal(err)
	}
	return NewShape(stream)
}

func TestLoad(t *testing.T) {
	start := log("h1", "9_0", false, upToDate(9))
	again := func(offset string, lsn int, messages ...string) answer {
		return log("h1", offset, false, append(messages, upToDate(lsn))...)
	}
	for _, c := range []struct {
		name    string
		replica Replica
		log     []answer
		subsets []answer
		want    string
		steps   string
		bodies  string
	}{
		{
			name:    "rows are shown with the log's next word",
			log:     []answer{start, hang, again("9_0", 9), hang},
			subsets: []answer{subset("920", "920", "", 20, row("insert", 1, 5), row("insert", 2, 5))},
			want:    "1=5 2=5", steps: "+1=5 +2=5",
			bodies: `h1 {"limit":2,"order_by":"id","params":{"1":"3"},"where":"n \u003e $1"}`,
		},
		{
			name: "changes that the subset shows already are dropped, for its rows only",
			log: []answer{start, hang, again("15_4", 15, row("update", 1, 4, at(15, 0, 915)), row("insert", 3, 3, at(15, 2, 915)), row("delete", 2, 0, at(15, 4, 915))),
				log("h1", "25_0", true, row("update", 1, 6, at(25, 0, 925)), upToDate(25)), hang},
			subsets: []answer{subset("920", "920", "", 20, row("insert", 1, 5), row("insert", 2, 5))},
			want:    "1=6 2=5 3=3", steps: "+1=5 +2=5 +3=3|~1=6",
		},
		{
			name: "changes of transactions that ran during the subset count",
			log: []answer{start, hang, again("15_4", 15, row("update", 1, 4, at(15, 0, 918))),
				hang},
			subsets: []answer{subset("918", "920", `"918"`, 20, row("insert", 1, 5))},
			want:    "1=4", steps: "+1=4",
		},
		{
			name: "the subset is older than what the log has told",
			log: []answer{start, log("h1", "15_0", true, row("insert", 1, 7, at(15, 0, 918)), upToDate(15)), hang,
				again("15_0", 15), hang},
			subsets: []answer{subset("918", "920", `"918"`, 20, row("insert", 1, 5)), subset("920", "920", ``, 20, row("insert", 1, 7), row("insert", 2, 7))},
			want:    "1=7 2=7", steps: "+1=7|+2=7",
		},
		{
			name: "unknown rows change without notice",
			log: []answer{start, hang, again("15_4", 15, row("update", 8, 4, at(15, 0, 921)), row("delete", 9, 4, at(15, 2, 921))),
				hang},
			subsets: []answer{subset("920", "920", "", 20, row("insert", 1, 5))},
			want:    "1=5", steps: "+1=5",
		},
		{
			name: "but are known once they come whole", replica: ReplicaFull,
			log: []answer{start, hang, again("15_4", 15, row("update", 8, 4, at(15, 0, 921)), row("delete", 9, 4, at(15, 2, 921))),
				hang},
			subsets: []answer{subset("920", "920", "", 20, row("insert", 1, 5))},
			want:    "1=5 8=4", steps: "+1=5 +8=4",
		},
		{
			name: "a rotation while the subset is asked for",
			log: []answer{start, hang, rotated("h2"), log("h2", "0_inf", false, upToDate(22)), log("h2", "0_inf", false, upToDate(22)),
				hang},
			subsets: []answer{rotated("h2"), subset("930", "930", "", 30, row("insert", 1, 5))},
			want:    "1=5", steps: "+1=5",
		},
		{
			name: "a rotation afterwards: the subset is read again before anything is shown",
			log: []answer{start, hang, again("9_0", 9), rotated("h2"), log("h2", "0_inf", false, upToDate(22)), log("h2", "0_inf", false, upToDate(22)),
				hang},
			subsets: []answer{subset("920", "920", "", 20, row("insert", 1, 5), row("insert", 2, 5)), subset("930", "930", "", 30, row("insert", 2, 6))},
			want:    "2=6", steps: "+1=5 +2=5|-1 ~2=6",
		},
		{
			name:    "faults that pass",
			log:     []answer{start, hang, again("9_0", 9), hang},
			subsets: []answer{status(503, `{"message":"busy"}`), cut("h1", "0_inf", `{"metadata":`), subset("920", "920", "", 20, row("insert", 1, 5))},
			want:    "1=5", steps: "+1=5",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &subsets{script: script{t: t, answers: c.log}, post: c.subsets}
				shape := s.shape(c.replica)
				told := steps(shape)
				running(t, shape)
				if err := shape.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if err := shape.Load(t.Context(), Subset{Where: "n > $1", Params: []string{"3"}, OrderBy: "id", Limit: 2}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if got := held(shape); got != c.want {
					t.Errorf("rows %s, want %s", got, c.want)
				}
				if got := strings.Join(*told, "|"); got != c.steps {
					t.Errorf("steps %s, want %s", got, c.steps)
				}
				if got := strings.Join(s.bodies, "\n"); c.bodies != "" && got != c.bodies {
					t.Errorf("it asks %s", got)
				}
			})
		})
	}
	t.Run("refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &subsets{script: script{t: t, answers: []answer{start, hang, again("9_0", 9), hang}}, post: []answer{status(400, `{"message":"Invalid request","errors":{"subset":{"where":"no"}}}`)}}
			shape := s.shape("")
			running(t, shape)
			var refused *Error
			if err := shape.Load(t.Context(), Subset{Where: "no"}); !errors.As(err, &refused) || refused.Fields["subset.where"] == nil {
				t.Errorf("%v", err)
			}
			if err := shape.Wait(t.Context()); err != nil {
				t.Errorf("the shape does not go on: %v", err)
			}
		})
	})
}

func TestFetchSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &subsets{script: script{t: t}, post: []answer{status(503, ""), rotated("h2"), subset("920", "921", `"920"`, 20, row("insert", 1, 5))}}
		got, err := s.shape("").stream.FetchSnapshot(t.Context(), Subset{})
		if err != nil {
			t.Fatal(err)
		}
		if said(got.Rows) != "insert 1=5" || got.Metadata.DatabaseLSN != "20" || got.Metadata.XipList[0] != "920" || got.Metadata.Mark != 5 || got.Schema["id"].Type != "int4" {
			t.Errorf("%+v", got)
		}
		if s.bodies[0] != ` {"where":"true"}` {
			t.Errorf("it asks %q", s.bodies[0])
		}
	})
}

func TestVisibility(t *testing.T) {
	const epoch = 5 << 32
	v, err := newVisibility(fmt.Sprint(epoch+10), fmt.Sprint(epoch+20), []string{fmt.Sprint(epoch + 12)})
	if err != nil {
		t.Fatal(err)
	}
	for xid, want := range map[uint32]bool{
		9: true, 10: true, 12: false, 13: true, 19: true, 20: false, 21: false,
		1<<32 - 5: true, // of the epoch before
		1 << 30:   false,
	} {
		if got := v.sees(xid); got != want {
			t.Errorf("transaction %d is seen: %t", xid, got)
		}
	}
	if _, err := newVisibility("a", "1", nil); !errors.Is(err, ErrNotElectric) {
		t.Error(err)
	}
}
