package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/pgquery"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/verify"
)

type verifyCmd struct {
	Handles     []string      `arg:"" optional:"" help:"Handles of shapes; none: all that live there."`
	DatabaseURL string        `env:"DATABASE_URL" placeholder:"URL" help:"The database that the service serves; a role that may read the tables will do."`
	URL         string        `name:"url" env:"SPILLWAY_URL" default:"http://127.0.0.1:3000" help:"Where the service answers clients."`
	Secret      string        `env:"SPILLWAY_SECRET,ELECTRIC_SECRET" help:"What clients must send."`
	AdminAddr   string        `env:"SPILLWAY_ADMIN_ADDR" placeholder:"127.0.0.1:3001" help:"host:port where the service answers operators."`
	Sample      int           `placeholder:"N" help:"Check N shapes only, chosen at random."`
	Limit       time.Duration `default:"5m" help:"How long one shape's log may take to come to where its rows were read."`
	JSON        bool          `name:"json" help:"Print one line of JSON for each shape."`
}

// Help tells what the command does.
func (verifyCmd) Help() string {
	return `Compares what clients of a running service are given with what SELECT returns, shape by shape, at one
moment of each, while writes go on. It reads rows and logs and changes nothing; run it in production,
now and then, with --sample. Memory: the keys of one shape, and 16 bytes for each of its values.

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
	all, err := c.shapes(ctx)
	if err != nil {
		return err
	}
	db, err := pgquery.Open(pgquery.Config{URL: c.DatabaseURL, PoolSize: 2})
	if err != nil {
		return configError{err}
	}
	defer db.Close()
	s := &verify.Service{URL: strings.TrimSuffix(c.URL, "/") + "/v1/shape", Secret: c.Secret, DB: db, Limit: c.Limit}
	wrong, gone, rows := 0, 0, 0
	for i, of := range all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		progress("%d of %d shapes, %d rows", i, len(all), rows)
		r, err := s.Check(ctx, of)
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
	progress("")
	if !c.JSON {
		fmt.Printf("%d shapes, %d rows: %d differ or could not be compared, %d were given up meanwhile\n", len(all), rows, wrong, gone)
	}
	if wrong > 0 {
		return errDiffer
	}
	return nil
}

// progress shows how far a long work is, where a person looks.
func progress(format string, args ...any) {
	if st, err := os.Stderr.Stat(); err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return
	}
	fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
}

// shapes asks the service which shapes there are, and chooses.
func (c *verifyCmd) shapes(ctx context.Context) ([]verify.Shape, error) {
	addr := c.AdminAddr
	if addr == "" {
		addr = engine.DefaultConfig().AdminAddr
	}
	wanted := make(map[shape.Handle]bool)
	for _, h := range c.Handles {
		wanted[shape.Handle(h)] = true
	}
	var all []verify.Shape
	for skip := 0; ; {
		body, err := fetch(ctx, addr, fmt.Sprintf("/shapes?skip=%d", skip))
		if err != nil {
			return nil, fmt.Errorf("no shapes from %s (SPILLWAY_ADMIN_ADDR): %w", addr, err)
		}
		var page struct{ Shapes []verify.Shape }
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, fmt.Errorf("what answers on %s (SPILLWAY_ADMIN_ADDR) is not a Spillway", addr)
		}
		for _, s := range page.Shapes {
			if len(wanted) == 0 && s.State == "live" && !s.ChangesOnly || wanted[s.Handle] {
				delete(wanted, s.Handle)
				all = append(all, s)
			}
		}
		if len(page.Shapes) == 0 {
			break
		}
		skip += len(page.Shapes)
		if len(c.Handles) > 0 && len(wanted) == 0 {
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
	progress("")
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
