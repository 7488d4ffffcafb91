package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// TestMaxShapes: cases 347 and 348. With room for five, seven shapes cost two
// others their place: the least recently used, but not one that a client waits
// on. When clients wait on all, one of them is told at once.
func TestMaxShapes(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable)
	s := newService(t, db.URL, "ELECTRIC_MAX_SHAPES=5", "SPILLWAY_LONG_POLL_TIMEOUT=40s")
	shape := func(i int) url.Values {
		return url.Values{"table": {"items"}, "where": {fmt.Sprintf("n > %d", i)}, "offset": {"-1"}}
	}
	handles := make([]string, 7)
	open := func(i int) {
		t.Helper()
		status, header, body := shapeGet(t, s.url, shape(i))
		if status != http.StatusOK {
			t.Fatalf("shape %d: %d %s", i, status, body)
		}
		handles[i] = header.Get("electric-handle")
	}
	live := make([]chan string, 7)
	wait := func(i int) {
		q := shape(i)
		q.Set("offset", "0_inf")
		q.Set("handle", handles[i])
		q.Set("live", "true")
		live[i] = make(chan string, 1)
		go func() {
			began := time.Now()
			res, err := http.Get(s.url + "?" + q.Encode())
			if err != nil {
				live[i] <- err.Error()
				return
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			live[i] <- fmt.Sprint(res.StatusCode, string(body), err, time.Since(began) < 20*time.Second)
		}()
	}
	for i := range 5 {
		open(i)
	}
	wait(0) // the oldest, but a client waits on it
	waiting := func(n int) {
		t.Helper()
		eventually(t, 10*time.Second, "clients to wait", func() error {
			_, stacks := get(t, s.admin+"/debug/pprof/goroutine?debug=2")
			if got := strings.Count(stacks, "(*visit).await("); got != n {
				return fmt.Errorf("%d wait, want %d", got, n)
			}
			return nil
		})
	}
	waiting(1)
	for _, i := range []int{2, 3, 1, 4} { // used again, in this order
		shapeGet(t, s.url, shape(i))
	}
	open(5)
	open(6)
	for i, kept := range []bool{true, true, false, false, true, true, true} {
		q := shape(i)
		q.Set("offset", "0_inf")
		q.Set("handle", handles[i])
		if kept {
			if status, header, body := shapeGet(t, s.url, q); status != http.StatusOK || header.Get("electric-handle") != handles[i] {
				t.Errorf("shape %d: %d %s", i, status, body)
			}
		}
	}
	if _, why := get(t, s.admin+"/why/"+handles[2]); !strings.Contains(why, "max_shapes") {
		t.Errorf("why: %s", why)
	}
	select {
	case got := <-live[0]:
		t.Errorf("the client that waited was told %s", got)
	default:
	}
	// Now clients wait on all five: the longest unused goes, and its client hears
	// of it at once.
	for _, i := range []int{1, 4, 5, 6} {
		wait(i)
	}
	waiting(5)
	status, header, body := shapeGet(t, s.url, func() url.Values { q := shape(2); q.Set("offset", "0_inf"); q.Set("handle", handles[2]); return q }())
	if status != http.StatusConflict || !strings.Contains(body, `"reason":"max_shapes"`) || header.Get("electric-handle") == handles[2] {
		t.Errorf("a shape that went: %d %s", status, body)
	}
	told := 0
	for _, i := range []int{0, 1, 4, 5, 6} {
		select {
		case got := <-live[i]:
			told++
			if !strings.HasPrefix(got, "409") || !strings.Contains(got, "max_shapes") || !strings.HasSuffix(got, "true") {
				t.Errorf("shape %d: %s", i, got)
			}
		case <-time.After(time.Second):
		}
	}
	if told > 1 {
		t.Errorf("%d clients lost their shape", told)
	}
}

func shapeGet(t *testing.T, base string, q url.Values) (int, http.Header, string) {
	t.Helper()
	res, err := http.Get(base + "?" + q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}

// Shapes are removed while others ask for them (case 350): nobody is told of an
// internal error, and in the end there is one that is whole.
func TestDeletedWhileAskedFor(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(itemsTable + fmt.Sprintf(itemsRow, 1, 20))
	s := newService(t, db.URL, "SPILLWAY_ALLOW_SHAPE_DELETION=true")
	q := url.Values{"table": {"items"}, "offset": {"-1"}}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				if a := send(http.MethodGet, s.url, q, ""); a.status != http.StatusOK && a.status != http.StatusConflict {
					t.Errorf("GET: %d %s %v", a.status, a.body, a.err)
				}
			}
		})
		all.Go(func() {
			for range 50 {
				if a := send(http.MethodDelete, s.url, q, ""); a.status != http.StatusAccepted && a.status != http.StatusNotFound {
					t.Errorf("DELETE: %d %s %v", a.status, a.body, a.err)
				}
			}
		})
	}
	all.Wait()
	f := newFollower(s.url, "table", "items")
	f.until(t, 30*time.Second, "all rows", func() error { return sameRows(f.items(), itemsOf(db, "")) })
}
