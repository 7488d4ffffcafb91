package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-sync/spillway/internal/shape"
)

// Header names as Go's map of headers wants them.
const (
	hCacheControl = "Cache-Control"
	hCursor       = "Electric-Cursor"
	hEtag         = "Etag"
	hHandle       = "Electric-Handle"
	hHasData      = "Electric-Has-Data"
	hKnownError   = "Electric-Internal-Known-Error"
	hOffset       = "Electric-Offset"
	hRequestID    = "X-Request-Id"
	hRetryAfter   = "Retry-After"
	hSchema       = "Electric-Schema"
	hServer       = "Electric-Server"
	hSnapshot     = "Electric-Snapshot"
	hSurrogate    = "Surrogate-Control"
	hUpToDate     = "Electric-Up-To-Date"

	typeJSON   = "application/json; charset=utf-8"
	typeEvents = "text/event-stream"
)

// The values of cache-control that need no configuration (http-protocol §8.1).
const (
	cacheDefault  = "max-age=0, private, must-revalidate"
	cacheInitial  = "public, max-age=604800, s-maxage=3600, stale-while-revalidate=2629746"
	cacheLive     = "public, max-age=5, stale-while-revalidate=5"
	cacheMoved    = "public, max-age=60, must-revalidate" // 409 with a handle
	cacheConflict = "public, max-age=1, must-revalidate"  // 409 without
)

// page is a successful response: which part of which log it is.
type page struct {
	handle shape.Handle
	// offset is where to continue, as text.
	offset string
	// upToDate: the response reaches the end of the log.
	upToDate bool
	// noData: a live timeout, or offset=now. Such a response can never be
	// revalidated: what it says is only that nothing was there when it was made.
	noData bool
}

// etag is the page's tag (http-protocol §8.3). That of a body in another coding
// has the coding's name behind it: see tagIn.
func (x *exchange) etag(req *request, p *page) string {
	tag := `"` + string(p.handle) + ":" + req.offsetText() + ":" + p.offset
	if p.noData {
		tag += ":" + strconv.FormatInt(int64(time.Since(x.started)), 10)
	}
	return tag + `"`
}

// setPage sets the headers of a page. def describes the table of today.
func (x *exchange) setPage(req *request, def *shape.Def, p *page, status int) {
	h := x.w.Header()
	h[hHandle] = []string{string(p.handle)}
	h[hOffset] = []string{p.offset}
	h[hEtag] = []string{tagIn(x.enc, x.etag(req, p))}
	h[hHasData] = []string{strconv.FormatBool(!p.noData)}
	if p.upToDate {
		h[hUpToDate] = []string{""}
	}
	if req.live {
		h[hCursor] = []string{strconv.FormatInt(nextCursor(time.Now(), x.cfg.LongPollTimeout, req.cursor), 10)}
	} else if status == http.StatusOK {
		h[hSchema] = []string{string(shape.AppendSchema(nil, def))}
	}
	switch {
	case !isRead(x.r.Method):
		h[hCacheControl] = []string{"no-cache"}
	case req.start == fromBeginning:
		h[hCacheControl] = []string{cacheInitial}
	case req.live:
		h[hCacheControl] = []string{cacheLive}
	default:
		h[hCacheControl] = []string{x.caching}
	}
}

// notModified answers 304 if the client already has the page.
func (x *exchange) notModified(req *request, def *shape.Def, p *page) bool {
	lines := x.r.Header["If-None-Match"]
	if len(lines) == 0 {
		return false
	}
	tag := x.etag(req, p)
	e, ok := match304(lines, tag)
	if !ok {
		return false
	}
	x.enc = e // the tag of what the client has
	x.setPage(req, def, p, http.StatusNotModified)
	x.send(http.StatusNotModified, nil)
	return true
}

// tagIn is a tag for a body in a coding: the bytes differ, so the tags do.
func tagIn(e encoding, tag string) string {
	if e == identity {
		return tag
	}
	return tag[:len(tag)-1] + "+" + encodingNames[e] + `"`
}

// match304 looks for a page's tag, of whatever coding, in If-None-Match.
func match304(lines []string, tag string) (encoding, bool) {
	for e := range encoding(encodings) {
		if matches(lines, tagIn(e, tag)) {
			return e, true
		}
	}
	return identity, false
}

// matches reports whether a tag is among those of If-None-Match. W/ prefixes
// and * do not count: only the very same bytes are the same page.
func matches(lines []string, etag string) bool {
	want := strings.Trim(etag, `"`)
	for _, line := range lines {
		for tag := range strings.SplitSeq(line, ",") {
			if strings.Trim(strings.TrimSpace(tag), `"`) == want {
				return true
			}
		}
	}
	return false
}

// refuse sends a problem.
func (x *exchange) refuse(p *problem) {
	h := x.w.Header()
	switch {
	case p.plain:
		h["Content-Type"] = nil // no guessing
	default:
		h["Content-Type"] = []string{typeJSON}
		x.setRefusalCache(p)
	}
	if p.handle != "" {
		h[hHandle] = []string{string(p.handle)}
		h[hEtag] = []string{`"` + string(p.handle) + `::"`}
	}
	if p.retryAfter > 0 {
		h[hRetryAfter] = []string{strconv.Itoa(p.retryAfter)}
	}
	if p.known {
		h[hKnownError] = []string{"true"}
	}
	x.send(p.status, p.body)
}

func (x *exchange) setRefusalCache(p *problem) {
	h := x.w.Header()
	switch {
	case !isRead(x.r.Method):
		h[hCacheControl] = []string{"no-cache"}
		if p.overload {
			h[hSurrogate] = []string{"no-store"}
		}
	case p.status == http.StatusConflict && p.handle != "":
		h[hCacheControl] = []string{cacheMoved}
	case p.status == http.StatusConflict:
		h[hCacheControl] = []string{cacheConflict}
	default:
		h[hCacheControl] = []string{"no-store"}
		h[hSurrogate] = []string{"no-store"}
	}
}
