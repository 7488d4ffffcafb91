package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Options say which shape is followed, and how. Only URL is required: behind a
// proxy that chooses the shape, the rest may be empty.
type Options struct {
	// URL is that of the shape route, http://127.0.0.1:3000/v1/shape.
	URL string

	// Table is name or schema.name, quoted as in SQL where it has capitals or
	// special characters.
	Table string
	// Where is a condition in SQL, in which $1 is the first of Params.
	Where  string
	Params []string
	// Columns are names as they are, without quotes; the primary key must be
	// among them. Empty: all.
	Columns []string
	// Replica and Log are the protocol's defaults if empty.
	Replica Replica
	Log     Log

	// Secret is sent as the parameter of that name.
	Secret string
	// Query has further parameters of the URL, Header further headers.
	Query  url.Values
	Header http.Header

	// From is where to start. The zero Position is the beginning; Now skips the
	// rows that are there; another one comes from ShapeStream.Position. A server
	// that does not know its handle any more gives must-refetch.
	From Position
	// SSE asks for changes in one long answer (server-sent events) instead of
	// an answer for each. Servers and proxies that cannot are noticed and polled.
	SSE bool
	// Once ends the stream at the first up-to-date message.
	Once bool

	// HTTPClient makes the requests; nil: http.DefaultClient. It must have no
	// Timeout: live requests wait for what happens.
	HTTPClient *http.Client
	// MinBackoff and MaxBackoff are the limits of the random time before a retry:
	// MinBackoff before the first one, doubled for each. 0: 500 ms and 32 s.
	MinBackoff, MaxBackoff time.Duration
	// OnRetry, if not nil, hears of each fault that is about to be retried, from
	// within Next.
	OnRetry func(err error, wait time.Duration)
}

// Replica is how much of a row a change tells.
type Replica string

// The replica modes.
const (
	ReplicaDefault Replica = "default" // what changed, and the primary key
	ReplicaFull    Replica = "full"    // all columns, and what changed ones had before
)

// Log is what a shape's log has.
type Log string

// The log modes.
const (
	LogFull        Log = "full"         // the rows that are there, then changes
	LogChangesOnly Log = "changes_only" // changes; rows by Shape.Load or FetchSnapshot
)

// URL parameters that belong to the protocol, not to Options.Query.
var reserved = []string{"table", "where", "columns", "replica", "log", "secret", "offset", "handle", "live", "live_sse",
	"experimental_live_sse", "cursor", "expired_handle", "cache-buster"}

// shapeURL checks the options and returns the URL with the parameters that all
// requests have.
func (o *Options) shapeURL() (*url.URL, url.Values, error) {
	u, err := url.Parse(o.URL)
	switch {
	case o.URL == "":
		return nil, nil, errors.New("Options.URL is empty: it is that of the shape route, for example http://127.0.0.1:3000/v1/shape")
	case err != nil:
		return nil, nil, fmt.Errorf("Options.URL must be like http://127.0.0.1:3000/v1/shape: %w", withoutURL(err))
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, nil, errors.New("Options.URL must begin with http:// or https:// and a host")
	}
	if o.From.concrete() && o.From.Handle == "" {
		return nil, nil, fmt.Errorf("Options.From has the offset %s, but no handle", o.From.Offset)
	}
	if o.HTTPClient != nil && o.HTTPClient.Timeout != 0 {
		return nil, nil, errors.New("Options.HTTPClient has a Timeout, which would cut off live requests: use a context")
	}
	if o.MinBackoff < 0 || o.MaxBackoff < 0 {
		return nil, nil, errors.New("Options.MinBackoff and MaxBackoff must not be negative")
	}
	q := u.Query()
	for name, values := range o.Query {
		for _, r := range reserved {
			if name == r {
				return nil, nil, fmt.Errorf("Options.Query must not have %q: the client sets it", name)
			}
		}
		q[name] = values
	}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("table", o.Table)
	set("where", o.Where)
	set("replica", string(o.Replica))
	set("secret", o.Secret)
	for i, p := range o.Params {
		q.Set("params["+strconv.Itoa(i+1)+"]", p)
	}
	var columns []string
	for _, c := range o.Columns {
		columns = append(columns, `"`+strings.ReplaceAll(c, `"`, `""`)+`"`)
	}
	set("columns", strings.Join(columns, ","))
	log := o.Log
	if log == "" {
		log = LogFull
	}
	q.Set("log", string(log))
	u.RawQuery, u.Fragment = "", ""
	return u, q, nil
}
