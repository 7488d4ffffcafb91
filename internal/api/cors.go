package api

import (
	"net/http"
	"strings"
)

const (
	readMethods  = "GET, HEAD"
	shapeMethods = "GET, POST, HEAD, DELETE, OPTIONS"

	exposedHeaders = "electric-cursor,electric-handle,electric-has-data,electric-offset,electric-schema,electric-up-to-date,electric-internal-known-error,retry-after"
)

// preflightHeaders are the request headers a browser may send from another
// origin, in lower case. Electric lets only the first two through, one a line;
// we have no cookies or other ambient rights that a header could borrow.
var preflightHeaders = map[string]bool{
	"if-none-match": true,
	"traceparent":   true,
	"tracestate":    true,
	"content-type":  true,
	"authorization": true,
	"cache-control": true,
	"pragma":        true,
	"x-request-id":  true,
}

// allowOrigin sets the CORS headers of a response.
func (x *exchange) allowOrigin(methods string) {
	origin := x.r.Header.Get("Origin")
	if origin == "" {
		origin = "*"
	}
	h := x.w.Header()
	h["Access-Control-Allow-Origin"] = []string{origin}
	h["Access-Control-Expose-Headers"] = []string{exposedHeaders}
	h["Access-Control-Allow-Methods"] = []string{methods}
}

// preflight answers OPTIONS /v1/shape.
func (x *exchange) preflight() {
	x.allowOrigin(shapeMethods)
	h := x.w.Header()
	var allowed []string
	for _, line := range x.r.Header["Access-Control-Request-Headers"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); preflightHeaders[strings.ToLower(name)] {
				allowed = append(allowed, name)
			}
		}
	}
	if len(allowed) > 0 {
		h["Access-Control-Allow-Headers"] = []string{strings.Join(allowed, ", ")}
	}
	h["Access-Control-Max-Age"] = []string{"86400"}
	h["Connection"] = []string{"keep-alive"}
	delete(h, hCacheControl)
	delete(h, "Vary")
	x.send(http.StatusNoContent, nil)
}
