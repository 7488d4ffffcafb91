package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/spillway-sync/spillway/internal/registry"
)

// route is what a path and nothing else names.
type route uint8

const (
	routeNone route = iota
	routeRoot
	routeShape
	routeHealth
)

// match normalises a path as it was sent and routes on the result: it is split
// at slashes, empty segments are dropped, and each segment is decoded by
// itself (http-protocol §2). Everything that depends on the path depends on
// what this function returns: an unusual spelling must not get past the secret.
//
// http.ServeMux is not used because it answers such paths with a redirect.
func match(escaped string) route {
	var segments [3]string
	n := 0
	for seg := range strings.SplitSeq(escaped, "/") {
		if seg == "" {
			continue
		}
		plain, err := url.PathUnescape(seg)
		if err != nil || n == len(segments) {
			return routeNone
		}
		segments[n] = plain
		n++
	}
	switch {
	case n == 0:
		return routeRoot
	case n == 2 && segments[0] == "v1" && segments[1] == "shape":
		return routeShape
	case n == 2 && segments[0] == "v1" && segments[1] == "health":
		return routeHealth
	}
	return routeNone
}

// exchange is one request and its response.
type exchange struct {
	*Handler
	w  http.ResponseWriter
	rc *http.ResponseController
	r  *http.Request
	// head: the response is a GET's without its body.
	head bool
	q    query
	// enc is the coding of the body, decided before it begins.
	enc encoding
	// began: the status line is out.
	began bool
	// permit is what the request counts against, nil if nothing; watched is the
	// shape that is told that a client waits.
	permit  *tally
	watched *registry.Shape
	// taken: what is left of the request was moved to a goroutine of its own, and
	// is written to reply.
	taken bool
	reply *reply
}

// ServeHTTP answers one request.
func (s *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{Handler: s, w: w, rc: http.NewResponseController(w), r: r, head: r.Method == http.MethodHead}
	defer x.recover()
	x.hurry()
	if status := beyondLimits(r); status != 0 {
		x.dismiss(status)
		return
	}
	h := w.Header()
	h[hServer] = []string{s.version}
	h[hRequestID] = []string{requestID(r)}
	h[hCacheControl] = []string{cacheDefault}
	h["Vary"] = []string{"accept-encoding"}

	to := match(r.URL.EscapedPath())
	switch {
	case to == routeShape && r.Method == http.MethodOptions:
		x.preflight()
	case to == routeShape && isShapeMethod(r.Method):
		x.serveShape()
	case to == routeRoot && isRead(r.Method):
		x.allowOrigin(readMethods)
		x.send(http.StatusOK, nil)
	case to == routeHealth && isRead(r.Method):
		x.serveHealth()
	default:
		x.allowOrigin(readMethods)
		h["Content-Type"] = nil // no guessing
		x.send(http.StatusNotFound, []byte("Not found"))
	}
}

func isRead(method string) bool { return method == http.MethodGet || method == http.MethodHead }

func isShapeMethod(method string) bool {
	return isRead(method) || method == http.MethodPost || method == http.MethodDelete
}

// recover answers a panic. What cannot be answered any more is cut off, so that
// the client does not take it for whole.
func (x *exchange) recover() {
	v := recover()
	switch {
	case v == nil:
		return
	case v == http.ErrAbortHandler:
		panic(v)
	}
	x.log.Error("panic while serving a request", "method", x.r.Method, "panic", v, "stack", string(debug.Stack()))
	if x.began {
		panic(http.ErrAbortHandler)
	}
	x.refuse(internalError())
}

// authorized compares the secret in constant time; hashing hides its length.
// If "secret" is there at all, the deprecated "api_secret" is not looked at.
func (x *exchange) authorized() bool {
	if x.cfg.Secret == "" {
		return x.cfg.Insecure
	}
	v := x.q["secret"]
	if v == nil {
		v = x.q["api_secret"]
	}
	if v == nil || v.kind != kindText {
		return false
	}
	given := sha256.Sum256([]byte(v.text))
	return subtle.ConstantTimeCompare(given[:], x.secret[:]) == 1
}

// requestID echoes the request's id if it is a sensible one, or makes one.
func requestID(r *http.Request) string {
	if id := r.Header.Get(hRequestID); len(id) >= 20 && len(id) <= 200 {
		return id
	}
	var b [18]byte
	rand.Read(b[:]) // never fails (Go 1.24)
	return base64.URLEncoding.EncodeToString(b[:])
}
