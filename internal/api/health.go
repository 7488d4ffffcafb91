package api

import "net/http"

// serveHealth answers GET /v1/health: 200 only when shapes can be served.
func (x *exchange) serveHealth() {
	status, state := http.StatusAccepted, x.src.Health()
	if state == "active" {
		status = http.StatusOK
	}
	x.allowOrigin(readMethods)
	h := x.w.Header()
	h["Content-Type"] = []string{typeJSON}
	h[hCacheControl] = []string{"no-cache, no-store, must-revalidate"}
	x.send(status, encode(map[string]string{"status": state}))
}
