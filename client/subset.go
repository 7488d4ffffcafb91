package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// A Subset chooses rows of a shape. The zero Subset is all of them.
type Subset struct {
	Where   string   // a condition in SQL, in addition to the shape's
	Params  []string // of Where: $1 is the first
	OrderBy string   // for example: priority DESC, id
	Limit   int      // rows; 0: all. Needs OrderBy
	Offset  int      // rows that are left out. Needs OrderBy
}

// MarshalJSON gives the body of a subset request.
func (q Subset) MarshalJSON() ([]byte, error) {
	body := map[string]any{}
	if q.Where != "" {
		body["where"] = q.Where
	}
	if len(q.Params) > 0 {
		params := make(map[string]string, len(q.Params))
		for i, p := range q.Params {
			params[strconv.Itoa(i+1)] = p
		}
		body["params"] = params
	}
	if q.OrderBy != "" {
		body["order_by"] = q.OrderBy
	}
	if q.Limit != 0 {
		body["limit"] = q.Limit
	}
	if q.Offset != 0 {
		body["offset"] = q.Offset
	}
	if len(body) == 0 {
		body["where"] = "true" // an empty body would ask for the log
	}
	return json.Marshal(body)
}

// A Snapshot has the rows of a subset at one moment.
type Snapshot struct {
	Rows     []Message // inserts, in the order of Subset.OrderBy
	Schema   Schema
	Metadata Metadata
}

// Metadata says which moment a snapshot shows.
type Metadata struct {
	Xmin        string   `json:"xmin"` // of pg_current_snapshot()
	Xmax        string   `json:"xmax"`
	XipList     []string `json:"xip_list"`
	DatabaseLSN string   `json:"database_lsn"` // decimal: pg_current_wal_lsn()
	Mark        uint32   `json:"snapshot_mark"`
}

// FetchSnapshot reads a subset of the shape's rows as they are now. It does not
// touch the stream; it may be called at any time and by any goroutine. Faults
// that may pass are retried until ctx ends.
func (s *ShapeStream) FetchSnapshot(ctx context.Context, q Subset) (*Snapshot, error) {
	at := Position{Offset: "now"}
	return s.fetch(ctx, at, q)
}

// errEnded says that the log that a subset was asked of has ended.
var errEnded = errors.New("the log has ended")

// fetch reads a subset of the log at a position. If that has a handle, the
// error is errEnded once the log has ended.
func (s *ShapeStream) fetch(ctx context.Context, at Position, q Subset) (*Snapshot, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("make a subset request: %w", err)
	}
	one := ShapeStream{o: s.o, url: s.url, params: s.params, client: s.client, at: at}
	for {
		snapshot, err := one.fetchOnce(ctx, body)
		var p *passing
		switch {
		case err == nil:
			return snapshot, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, errEnded) && at.Handle != "", !errors.As(err, &p):
			return nil, err
		}
		if err := one.backOff(ctx, p); err != nil {
			return nil, err
		}
	}
}

func (s *ShapeStream) fetchOnce(ctx context.Context, body []byte) (*Snapshot, error) {
	c, err := s.do(ctx, http.MethodPost, s.query(), bytes.NewReader(body), "application/json", syncSilence)
	if err != nil {
		return nil, err
	}
	defer c.close()
	stop := c.attach(ctx)
	defer stop()
	switch status := c.resp.StatusCode; {
	case status == http.StatusConflict:
		return nil, &passing{err: errEnded}
	case status != http.StatusOK:
		return nil, c.refusal()
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		return nil, &passing{err: c.fault("read the answer", err)}
	}
	var a struct {
		Metadata *Metadata `json:"metadata"`
		Data     []Message `json:"data"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, &passing{err: fmt.Errorf("the answer is not a subset: %w", err)}
	}
	if a.Metadata == nil {
		return nil, fmt.Errorf("%w: a subset without metadata", ErrNotElectric)
	}
	if err := s.readSchema(c.resp.Header); err != nil {
		return nil, err
	}
	return &Snapshot{Rows: a.Data, Schema: s.schema, Metadata: *a.Metadata}, nil
}
