package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrRotated says that the shape of that handle is not there any more, so that
// there is nothing to compare.
var ErrRotated = errors.New("the shape was given up meanwhile, its clients start over")

// Shape is a definition with its handle, as operators are told (GET /shapes).
type Shape struct {
	ID      uint64   `json:"id"`
	Handle  string   `json:"handle"`
	Schema  string   `json:"schema"`
	Table   string   `json:"table"`
	Where   string   `json:"where,omitempty"`
	Columns []string `json:"columns,omitempty"` // none: all
	// FullRows and ChangesOnly are replica=full and log=changes_only.
	FullRows    bool   `json:"full_rows,omitempty"`
	ChangesOnly bool   `json:"changes_only,omitempty"`
	State       string `json:"state"`
}

// Service is where both sides are read.
type Service struct {
	URL    string // of the shape route
	Secret string
	DB     *pgx.ConnConfig
	// Limit is how long the log may stand still before it has come to where the
	// rows were read.
	Limit time.Duration
	// Memory is what may be kept of one shape's rows, in bytes; the rest goes to
	// files. A page of the log comes on top.
	Memory   int64
	Progress func(at Checkpoint) // nil: nobody wants to know
}

// Checkpoint says how far a check is.
type Checkpoint struct {
	Rows      int64 // that SELECT has returned
	Messages  int64 // of the log
	Comparing bool
}

// kept is how many keys of a kind of difference are named.
const kept = 100

// Result is what was found about one shape.
type Result struct {
	Handle   string `json:"handle"`
	Table    string `json:"table"`
	Rows     int64  `json:"rows"`
	Messages int64  `json:"messages"` // of the log
	At       string `json:"at"`       // a position behind all that was compared
	// Differing counts rows; the first hundred keys of each kind are named.
	Differing int      `json:"differing"`
	Missing   []string `json:"missing,omitempty"` // clients lack them
	Extra     []string `json:"extra,omitempty"`   // only clients have them
	// Different are keys whose columns differ, with the names of those.
	Different []string `json:"different,omitempty"`
}

// check is one comparison under way.
type check struct {
	*Service
	of    Shape
	names []string // of the columns that the shape has
	index map[string]int
	keyed bool // the table has a primary key
	sees  sight
	store *store
	at    Checkpoint
}

// Check compares one shape. An error says that it could not be done or that the log
// is not of the form that it must have; rows that differ are no error.
func (s *Service) Check(ctx context.Context, of Shape) (r *Result, err error) {
	c := &check{Service: s, of: of, store: newStore(s.Memory)}
	defer func() {
		if err = errors.Join(err, c.store.close()); err != nil {
			r, err = nil, fmt.Errorf("verify shape %s of %s.%s: %w", of.Handle, of.Schema, of.Table, err)
		}
	}()
	if err := c.selectRows(ctx); err != nil {
		return nil, err
	}
	if err := c.walk(ctx); err != nil {
		return nil, err
	}
	c.at.Comparing = true
	c.progress()
	r = &Result{Handle: of.Handle, Table: of.Schema + "." + of.Table, Rows: c.at.Rows, Messages: c.at.Messages, At: lsn(c.sees.until)}
	return r, c.compare(ctx, r)
}

func (c *check) progress() {
	if c.Progress != nil {
		c.Progress(c.at)
	}
}
