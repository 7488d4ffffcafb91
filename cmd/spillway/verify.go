package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/verify"
)

type verifyCmd struct {
	Handles     []string      `arg:"" optional:"" help:"Handles of shapes; none: all that live there."`
	DatabaseURL string        `env:"DATABASE_URL" placeholder:"URL" help:"The database that the service serves; a role with SELECT on the tables will do."`
	URL         string        `name:"url" env:"SPILLWAY_URL" default:"http://127.0.0.1:3000" help:"Where the service answers clients."`
	Secret      string        `env:"SPILLWAY_SECRET,ELECTRIC_SECRET" help:"What clients must send."`
	AdminAddr   string        `env:"SPILLWAY_ADMIN_ADDR" placeholder:"127.0.0.1:3001" help:"host:port where the service answers operators."`
	Sample      int           `placeholder:"N" help:"Check N shapes only, chosen at random."`
	Limit       time.Duration `default:"5m" help:"How long one shape's log may stand still before it has come to where its rows were read."`
	Memory      string        `default:"256MiB" help:"What may be kept of one shape's rows; the rest goes to files in TMPDIR."`
	JSON        bool          `name:"json" help:"Print one line of JSON for each shape."`
}

// Help tells what the command does.
func (verifyCmd) Help() string {
	return `Compares what clients of a running service are given with what SELECT returns, shape by shape, at one
moment of each, while writes go on. Run it in production, now and then, with --sample.

It needs SELECT on the tables and nothing else, and reads rows and logs. The one thing that it writes is
an empty logical message for each shape (pg_logical_emit_message, some 60 bytes of WAL, no row, no
transaction id): so there is something behind what was read also when nobody else writes. A shape's rows
are read in one transaction, which keeps VACUUM from what is newer as long as it lasts.

Of rows the key and a hash of each value are kept, in --memory and then in files, which are removed at the
end. A page of the log (SPILLWAY_CHUNK_BYTES) comes on top, twice.

Beside the rows the log's form is checked: pages follow on one another, offsets rise, "last" is the last
of each transaction, and who takes the log up in the middle is given what follows.

  spillway verify                     all shapes
  spillway verify --sample 20         twenty of them
  spillway verify 1-1795479757887669-3d2ac099

The exit code is 1 if anything differs, or could not be compared.`
}

// errDiffer ends a verification that found something.
var errDiffer = errors.New("clients are not given what SELECT returns")

// Run compares shapes and prints what differs.
func (c *verifyCmd) Run(ctx context.Context) error {
	if c.DatabaseURL == "" {
		return configError{errors.New("DATABASE_URL is required: the database that the service serves")}
	}
	db, err := pgx.ParseConfig(c.DatabaseURL)
	if err != nil {
		return configError{fmt.Errorf("DATABASE_URL: %w", err)}
	}
	memory, err := parseSize(c.Memory)
	if err != nil || memory < 1<<20 {
		return configError{fmt.Errorf("--memory: %q is no size of at least 1MiB", c.Memory)}
	}
	all, err := c.shapes(ctx)
	if err != nil {
		return err
	}
	p := &verifyProgress{to: os.Stderr, terminal: isTerminal(os.Stderr), shapes: len(all)}
	s := &verify.Service{URL: strings.TrimSuffix(c.URL, "/") + "/v1/shape", Secret: c.Secret, DB: db, Limit: c.Limit, Memory: memory, Progress: p.at}
	wrong, gone, rows := 0, 0, int64(0)
	for _, of := range all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.next(of)
		r, err := s.Check(ctx, of)
		p.clear()
		switch {
		case errors.Is(err, verify.ErrRotated):
			gone++
		case err != nil:
			wrong++
			fmt.Fprintln(os.Stderr, "spillway:", err)
		default:
			rows += r.Rows
			if r.Differing > 0 {
				wrong++
			}
			if err := c.print(r); err != nil {
				return err
			}
		}
	}
	if !c.JSON {
		fmt.Printf("%d shapes, %d rows: %d differ or could not be compared, %d were given up meanwhile\n", len(all), rows, wrong, gone)
	}
	if wrong > 0 {
		return errDiffer
	}
	return nil
}

// verifyProgress shows how far a long work is: a line that changes where a person
// looks, else a line now and then.
type verifyProgress struct {
	to       io.Writer
	terminal bool
	shapes   int
	n        int
	of       verify.Shape
	shown    time.Time // when something was shown last, at first when the work began
	line     bool      // there is a line to be cleared
}

func (p *verifyProgress) next(of verify.Shape) {
	p.n++
	p.of = of
	if p.shown.IsZero() {
		p.shown = time.Now()
	}
	p.show("its rows are asked for")
}

// at is told after each row and message.
func (p *verifyProgress) at(c verify.Checkpoint) {
	if !c.Comparing && (c.Rows+c.Messages)%1000 != 0 {
		return // the clock costs more than a row
	}
	text := grouped(c.Rows) + " rows read"
	if c.Messages > 0 {
		text += ", " + grouped(c.Messages) + " messages of its log"
	}
	if c.Comparing {
		text += ", comparing"
	}
	p.show(text)
}

func (p *verifyProgress) show(text string) {
	every := 30 * time.Second
	if p.terminal {
		every = 100 * time.Millisecond
	}
	if time.Since(p.shown) < every {
		return
	}
	p.shown = time.Now()
	text = fmt.Sprintf("shape %d of %d, %s.%s: %s", p.n, p.shapes, p.of.Schema, p.of.Table, text)
	if p.terminal {
		p.line = true
		fmt.Fprintf(p.to, "\r\x1b[K%s", text)
		return
	}
	fmt.Fprintln(p.to, text)
}

// clear removes the line.
func (p *verifyProgress) clear() {
	if p.line {
		p.line = false
		fmt.Fprintf(p.to, "\r\x1b[K")
	}
}

// shapes asks the service which shapes there are, and chooses.
func (c *verifyCmd) shapes(ctx context.Context) ([]verify.Shape, error) {
	addr := c.AdminAddr
	if addr == "" {
		addr = engine.DefaultConfig().AdminAddr
	}
	wanted := make(map[string]bool)
	for _, h := range c.Handles {
		wanted[h] = true
	}
	var all []verify.Shape
	for after := uint64(0); len(c.Handles) == 0 || len(wanted) > 0; {
		body, err := fetch(ctx, addr, fmt.Sprintf("/shapes?after=%d", after))
		if err != nil {
			return nil, fmt.Errorf("no shapes from %s (SPILLWAY_ADMIN_ADDR): %w", addr, err)
		}
		var page struct{ Shapes []verify.Shape }
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, fmt.Errorf("what answers on %s (SPILLWAY_ADMIN_ADDR) is not a Spillway", addr)
		}
		for _, s := range page.Shapes {
			if s.ID <= after {
				return nil, fmt.Errorf("what answers on %s (SPILLWAY_ADMIN_ADDR) lists shapes in another order: is it of this version?", addr)
			}
			after = s.ID
			if len(c.Handles) == 0 && s.State == "live" && !s.ChangesOnly || wanted[s.Handle] {
				delete(wanted, s.Handle)
				all = append(all, s)
			}
		}
		if len(page.Shapes) == 0 {
			break
		}
	}
	for h := range wanted {
		return nil, fmt.Errorf("no shape %s lives there", h)
	}
	for _, s := range all {
		if s.State != "live" {
			// Its first rows may be newer than those it would be compared with, or
			// its log stands still.
			return nil, fmt.Errorf("shape %s is %s: only live shapes can be compared", s.Handle, s.State)
		}
		if s.ChangesOnly {
			return nil, fmt.Errorf("shape %s has changes only: its log does not begin with the rows, so there is nothing to compare", s.Handle)
		}
	}
	if c.Sample > 0 && c.Sample < len(all) {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = all[:c.Sample]
	}
	return all, nil
}

func (c *verifyCmd) print(r *verify.Result) error {
	if c.JSON {
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			return fmt.Errorf("print a result: %w", err)
		}
		return nil
	}
	if r.Differing == 0 {
		return nil
	}
	fmt.Printf("%s of %s: %d of %d rows differ at %s\n", r.Handle, r.Table, r.Differing, r.Rows, r.At)
	for _, list := range []struct {
		what string
		keys []string
	}{{"missing", r.Missing}, {"extra", r.Extra}, {"different", r.Different}} {
		for _, key := range list.keys {
			if _, err := fmt.Printf("  %s %s\n", list.what, key); err != nil {
				return fmt.Errorf("print a result: %w", err)
			}
		}
	}
	return nil
}
