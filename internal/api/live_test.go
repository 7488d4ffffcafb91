package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillway-sync/spillway/internal/snapshot"
	"github.com/spillway-sync/spillway/internal/wal"
)

// handleOf makes the shape of boats and returns its handle.
func handleOf(t testing.TB, handler *Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, newRequest("GET", "/v1/shape?table=boats&offset=-1"))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Header().Get(hHandle)
}

// TestManyWaitersOneAnswer: check-list 112.
func TestManyWaitersOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarbour(t)
		handler := serve(insecure(), h)
		target := "/v1/shape?table=boats&offset=0_inf&live=true&handle=" + handleOf(t, handler)
		bodies := make([]string, 10)
		var wg sync.WaitGroup
		for i := range bodies {
			wg.Go(func() {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, newRequest("GET", target))
				bodies[i] = w.Header().Get(hEtag) + w.Body.String()
			})
		}
		synctest.Wait()
		if err := h.append(771, 2); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		for _, b := range bodies[1:] {
			if b != bodies[0] || b == "" {
				t.Errorf("%s, and %s", bodies[0], b)
			}
		}
	})
}

// TestNoMissedWakeUp lets requests arrive while entries are published: a missed
// one would be answered only by the timeout, and only then does the bubble's
// clock move.
func TestNoMissedWakeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarbour(t)
		handler := serve(insecure(), h)
		handle := handleOf(t, handler)
		offset := "0_inf"
		for i := range 500 {
			began := time.Now()
			var wg sync.WaitGroup
			w := httptest.NewRecorder()
			wg.Go(func() {
				handler.ServeHTTP(w, newRequest("GET", "/v1/shape?table=boats&live=true&handle="+handle+"&offset="+offset))
			})
			wg.Go(func() {
				if err := h.append(wal.LSN(1000+10*i), 1); err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
			if took := time.Since(began); took != 0 || w.Code != http.StatusOK {
				t.Fatalf("round %d: status %d after %v", i, w.Code, took)
			}
			offset = h.shapes()[0].Tail().String()
		}
	})
}

// TestLeavingEndsTheWait: check-list 111.
func TestLeavingEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarbour(t)
		handler := serve(insecure(), h)
		target := "/v1/shape?table=boats&offset=0_inf&live=true&handle=" + handleOf(t, handler)
		ctx, leave := context.WithCancel(t.Context())
		began := time.Now()
		var cut any
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() { cut = recover() }()
			handler.ServeHTTP(httptest.NewRecorder(), newRequest("GET", target).WithContext(ctx))
		})
		time.AfterFunc(3*time.Second, leave)
		wg.Wait()
		if took := time.Since(began); took != 3*time.Second || cut != http.ErrAbortHandler {
			t.Errorf("ended after %v with %v", took, cut)
		}
	})
}

// TestFailureIsToldOnce: who comes while a shape whose first rows failed is being
// removed is not told of that failure, but has a new one made.
func TestFailureIsToldOnce(t *testing.T) {
	h := newHarbour(t)
	h.failure, h.lingers = &snapshot.Failure{Message: "no", Known: true}, true
	handler := serve(insecure(), h)
	ask := func() int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, newRequest("GET", "/v1/shape?table=boats&offset=-1"))
		return w.Code
	}
	if code := ask(); code != http.StatusServiceUnavailable {
		t.Fatalf("status %d", code)
	}
	h.failure = nil
	if code := ask(); code != http.StatusOK {
		t.Errorf("status %d; %d shapes are there", code, len(h.shapes()))
	}
}
