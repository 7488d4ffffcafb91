package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A log that cannot be read costs its shape its place: the next client gets a
// new one instead of the same error for ever.
func TestDamagedLog(t *testing.T) {
	h := newHarbour(t)
	handler := serve(insecure(), h)
	get := func(query string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/shape?table=boats&"+query, nil))
		return w
	}
	handle := get("offset=-1").Header().Get("electric-handle")
	if err := h.append(100, 3); err != nil {
		t.Fatal(err)
	}
	for _, sh := range h.shapes() {
		if err := h.log.Delete(sh.ID()); err != nil {
			t.Fatal(err)
		}
	}
	if w := get("offset=0_inf&handle=" + handle); w.Code != http.StatusInternalServerError {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if len(h.damaged) != 1 || string(h.damaged[0]) != handle {
		t.Errorf("given up: %v", h.damaged)
	}
}
