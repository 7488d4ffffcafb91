package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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
