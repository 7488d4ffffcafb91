package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spillway-sync/spillway/client"
	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// ErrRotated says that the shape of that handle is not there any more, so that
// there is nothing to compare.
var ErrRotated = errors.New("the shape was given up meanwhile, its clients start over")

// Shape is a definition with its handle, as operators are told (GET /shapes).
type Shape struct {
	Handle  shape.Handle `json:"handle"`
	Schema  string       `json:"schema"`
	Table   string       `json:"table"`
	Where   string       `json:"where,omitempty"`
	Columns []string     `json:"columns,omitempty"` // none: all
	// FullRows and ChangesOnly are replica=full and log=changes_only.
	FullRows    bool   `json:"full_rows,omitempty"`
	ChangesOnly bool   `json:"changes_only,omitempty"`
	State       string `json:"state"`
}

// Service is where both sides are read.
type Service struct {
	URL    string // of the shape route
	Secret string
	DB     *pgquery.DB
	// Limit is how long the log may take to come to where the rows were read.
	Limit time.Duration
	HTTP  *http.Client // nil: http.DefaultClient
}

// kept is how many keys of a kind of difference are named.
const kept = 100

// Result is what was found about one shape.
type Result struct {
	Handle shape.Handle `json:"handle"`
	Table  string       `json:"table"`
	Rows   int          `json:"rows"`
	At     string       `json:"at"` // a position behind all that was compared
	// Differing counts rows; the first hundred keys of each kind are named.
	Differing int      `json:"differing"`
	Missing   []string `json:"missing,omitempty"` // clients lack them
	Extra     []string `json:"extra,omitempty"`   // only clients have them
	// Different are keys whose columns differ, with the names of those.
	Different []string `json:"different,omitempty"`
}

// Check compares one shape. An error says that it could not be done; differences
// are none.
func (s *Service) Check(ctx context.Context, of Shape) (*Result, error) {
	def, err := s.define(ctx, of)
	if err != nil {
		return nil, fmt.Errorf("verify shape %s: %w", of.Handle, err)
	}
	want, sees, err := s.selected(ctx, def)
	if err != nil {
		return nil, fmt.Errorf("verify shape %s: %w", of.Handle, err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.Limit)
	defer cancel()
	got, err := s.logged(ctx, of, newColumns(def), sees)
	if err != nil {
		return nil, fmt.Errorf("verify shape %s: %w", of.Handle, err)
	}
	r := &Result{Handle: of.Handle, Table: of.Schema + "." + of.Table, Rows: len(want), At: sees.Until.String()}
	r.compare(want, got, newColumns(def).names)
	return r, nil
}

func (s *Service) define(ctx context.Context, of Shape) (*shape.Def, error) {
	t, err := s.DB.Table(ctx, of.Schema, of.Table)
	if err != nil {
		return nil, err
	}
	// The rows are read whatever the shape's log begins with.
	return shape.BuildDef(t, shape.Params{Where: of.Where, Columns: of.Columns})
}

// selected reads the rows that SELECT returns.
func (s *Service) selected(ctx context.Context, def *shape.Def) (rows, wal.Snapshot, error) {
	all, cols := make(rows), newColumns(def)
	var sees wal.Snapshot
	var key []byte
	err := s.DB.Snapshot(ctx, def, func(snap wal.Snapshot, _ []pgquery.Edge) error {
		sees = snap
		return nil
	}, func(row wal.Tuple) error {
		key = shape.AppendKey(key[:0], def.Table, row)
		all[string(key)] = cols.ofTuple(row)
		return nil
	})
	if err != nil {
		return nil, sees, err
	}
	// So that there is something behind it, also when nobody writes.
	_, err = s.DB.EmitCanary(ctx)
	return all, sees, err
}

// logged reads the rows that a client has who has seen all that a snapshot sees,
// and nothing else.
func (s *Service) logged(ctx context.Context, of Shape, cols *columns, sees wal.Snapshot) (rows, error) {
	o := client.Options{
		URL: s.URL, Secret: s.Secret, HTTPClient: s.HTTP,
		Table: quote(of.Schema) + "." + quote(of.Table), Where: of.Where, Columns: of.Columns,
		Replica: client.ReplicaDefault, Log: client.LogFull,
	}
	if of.FullRows {
		o.Replica = client.ReplicaFull
	}
	stream, err := client.NewShapeStream(o)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	all := make(rows)
	for {
		messages, err := stream.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("its log has not come to %s within %s", sees.Until, s.Limit)
			}
			return nil, err
		}
		if h := stream.Position().Handle; h != string(of.Handle) {
			return nil, ErrRotated
		}
		for i := range messages {
			m := &messages[i]
			switch {
			case m.IsMustRefetch():
				return nil, ErrRotated
			case m.IsChange():
				if err := all.apply(m, cols, sees); err != nil {
					return nil, err
				}
			case m.IsUpToDate():
				seen, err := strconv.ParseUint(m.Headers.GlobalLastSeenLSN, 10, 64)
				if err != nil {
					return nil, fmt.Errorf("read an up-to-date message: %w", err)
				}
				if wal.LSN(seen) >= sees.Until {
					return all, nil
				}
			}
		}
	}
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
