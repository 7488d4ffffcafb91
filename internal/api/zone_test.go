package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/expr"
)

// TestZonesAreAsked: the rules of a zone that a clause names come from the database, for
// the shape's clause and for a subset's.
func TestZonesAreAsked(t *testing.T) {
	h := newHarbour(t)
	list := []expr.Change{{At: expr.ZoneFrom, East: 3600}}
	z, err := expr.NewZone("mars/port", list, list)
	if err != nil {
		t.Fatal(err)
	}
	h.zones = expr.Zones{"mars/port": z}
	handler := serve(insecure(), h)
	ask := func(params ...string) (int, string) {
		q := url.Values{"table": {"boats"}, "offset": {"-1"}}
		for i := 0; i < len(params); i += 2 {
			q.Set(params[i], params[i+1])
		}
		r := newRequest("GET", "/v1/shape")
		r.URL.RawQuery = q.Encode()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	const good, unknown = "name::timestamp at time zone 'Mars/Port' > '2000-01-01'", "name::timestamp at time zone 'Nope' > '2000-01-01'"
	var many []string
	for i := range 17 {
		h.zones[fmt.Sprintf("z/%d", i)] = z
		many = append(many, fmt.Sprintf("name::timestamp at time zone 'Z/%d' > '2000-01-01'", i))
	}
	for _, c := range []struct {
		params []string
		status int
		body   string
	}{
		{[]string{"where", good}, 200, ""},
		{[]string{"where", unknown}, 400, `{"where":["At location 29: time zone \"Nope\" not recognized"]}`},
		{[]string{"where", good + " or " + unknown}, 400, `time zone \"Nope\" not recognized`},
		{[]string{"where", strings.Join(many[1:], " or ")}, 200, ""},
		{[]string{"where", strings.Join(many, " or ")}, 400, "More than 16 time zones are not supported"},
		{[]string{"subset__where", good}, 200, ""},
		{[]string{"subset__where", unknown}, 400, `{"subset":{"where":["At location 29: time zone \"Nope\" not recognized"]}}`},
	} {
		if status, body := ask(c.params...); status != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%v: %d %s", c.params, status, body)
		}
	}
	h.catalogue = ErrUnreachable
	if status, body := ask("where", good); status != http.StatusServiceUnavailable {
		t.Errorf("without a database: %d %s", status, body)
	}
}
