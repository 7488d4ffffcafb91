package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/spillway-sync/spillway/internal/chaos"
	"github.com/spillway-sync/spillway/internal/shape"
)

// chaosBytes is what a request for a fault may have, in bytes.
const chaosBytes = 64 << 10

// withChaos adds the routes by which faults are made (flush-tracking §3):
//
//	POST /chaos         begins one
//	GET /chaos          lists those that are on
//	DELETE /chaos/{id}  lifts one
//	POST /chaos/form    does either for the buttons of the console
//
// Without faults, nil, it adds nothing: the routes do not exist.
func withChaos(operators http.Handler, faults *chaos.Faults, log *slog.Logger) http.Handler {
	if faults == nil {
		return operators
	}
	mux := http.NewServeMux()
	mux.Handle("/", operators)
	refuse := func(w http.ResponseWriter, code int, why string) {
		answer(w, log, code, map[string]string{"error": why})
	}
	mux.HandleFunc("POST /chaos", func(w http.ResponseWriter, r *http.Request) {
		req, err := readRequest(http.MaxBytesReader(w, r.Body, chaosBytes))
		if err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		f, err := faults.Begin(req)
		if err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		answer(w, log, http.StatusOK, f)
	})
	mux.HandleFunc("GET /chaos", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, log, http.StatusOK, faults.List())
	})
	mux.HandleFunc("DELETE /chaos/{id}", func(w http.ResponseWriter, r *http.Request) {
		f, ok := faults.Lift(r.PathValue("id"))
		if !ok {
			refuse(w, http.StatusNotFound, fmt.Sprintf("no fault %q is on: GET /chaos lists them", r.PathValue("id")))
			return
		}
		answer(w, log, http.StatusOK, f)
	})
	mux.HandleFunc("POST /chaos/form", func(w http.ResponseWriter, r *http.Request) {
		if !sameOrigin(r) {
			refuse(w, http.StatusForbidden, "this form is sent by the console's own pages only; tools use POST /chaos")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, chaosBytes)
		var err error
		if id := r.PostFormValue("lift"); id != "" {
			faults.Lift(id) // one that has ended meanwhile is lifted too
		} else {
			_, err = faults.Begin(chaos.Request{
				Fault: chaos.Kind(r.PostFormValue("fault")), Shape: shape.Handle(r.PostFormValue("shape")), For: formTime,
			})
		}
		if err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		to := "/"
		if h := r.PostFormValue("shape"); h != "" {
			to = "/shapes/" + url.PathEscape(h)
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	})
	return mux
}

// formTime is how long a fault lasts that was made with a button.
const formTime = "60s"

// sameOrigin says whether a form was sent by a page of ours: another site's page
// must not be able to make a browser on this machine break the service.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && origin.Host != "" && origin.Host == r.Host
}

// readRequest reads the one JSON object of a body.
func readRequest(body io.Reader) (chaos.Request, error) {
	var req chaos.Request
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	err := dec.Decode(&req)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if err != nil {
		return req, fmt.Errorf(`the body: %s: send one JSON object such as {"fault":"block","shape":"HANDLE","for":"90s"}`,
			strings.TrimPrefix(err.Error(), "json: "))
	}
	return req, nil
}
