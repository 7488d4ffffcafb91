package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/spillway-sync/spillway/internal/doctor"
	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/shape"
)

type doctorCmd struct {
	settings
	Tables []string `arg:"" optional:"" help:"Tables that will be served: name or schema.name, quoted as in SQL. None: those of the publication, and a word about all others."`
	JSON   bool     `name:"json" help:"Print what was found as JSON."`
	SQL    bool     `name:"sql" help:"Print what a database administrator runs so that a role with the least privileges will do. Nothing is looked at."`
	Strict bool     `help:"Warnings count as failures."`
}

// Help tells what the command does.
func (doctorCmd) Help() string {
	return `Looks whether "spillway serve" would run well, with the settings that serve would have: the
settings themselves, this machine, and Postgres. Run it before the first start, in CI, and when something
is strange. It changes nothing: no slot, no publication, no file is made. For a moment it takes two
connections and a walsender.

  spillway doctor                      all that can be told without knowing what will be served
  spillway doctor issues app.users     these tables must be fit to be served
  spillway doctor --json | jq -r '.findings[] | select(.verdict == "fail").code'
  spillway doctor --sql issues | psql  as an administrator: role, grants, publication, identities

What is looked at has a code that does not change, a verdict and, unless that is ok, a remedy. The codes are
explained in docs/operating.md. fail: serve would not run, or not serve a table that was named or is in the
publication. warn: it works, but will hurt some day, or for tables that nobody may want.

The exit code is 1 if anything fails (with --strict also for warnings), else 0.`
}

// errUnfit ends a preflight that found something.
var errUnfit = errors.New("serve would not run well; what to change is told above")

// Run looks at everything and prints what it found.
func (c *doctorCmd) Run(ctx context.Context, k *kong.Context) error {
	var tables [][2]string
	for _, name := range c.Tables {
		schema, table, err := shape.ParseRelation(name)
		if err != nil {
			return configError{fmt.Errorf("%q is not the name of a table: %w", name, err)}
		}
		tables = append(tables, [2]string{schema, table})
	}
	cfg, _, wrong := c.read(k)
	if c.SQL {
		return printScript(&cfg, tables)
	}
	if _, err := certificate(cfg); err != nil && len(wrong) == 0 { // else its settings may be what is wrong
		wrong = append(wrong, err)
	}
	r := doctor.Examine(ctx, doctor.Options{
		Config: cfg, Faults: wrong.lines(), Warnings: strangers(k, os.Environ()), Tables: tables, Descriptors: descriptors(),
	})
	var err error
	if c.JSON {
		err = printJSON(r)
	} else {
		err = doctor.WriteText(os.Stdout, r, isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == "")
	}
	switch {
	case err != nil:
		return err
	case r.Failures > 0, c.Strict && r.Warnings > 0:
		return errUnfit
	}
	return nil
}

// lines are the faults one by one; the engine's come together.
func (f faults) lines() []string {
	if len(f) == 0 {
		return nil
	}
	return strings.Split(errors.Join(f...).Error(), "\n")
}

// printScript needs to know role and database, and does not connect.
func printScript(cfg *engine.Config, tables [][2]string) error {
	if engine.CheckURL(cfg.DatabaseURL) != nil {
		return configError{errors.New("DATABASE_URL is required: the role and the database that the script names are taken from it")}
	}
	url, err := pgconn.ParseConfig(cfg.DatabaseURL)
	if err != nil {
		return configError{errors.New("DATABASE_URL cannot be read: run spillway doctor without --sql")}
	}
	s := doctor.Script{Role: url.User, Database: url.Database, Publication: cfg.Publication(), Slot: cfg.Slot(), Tables: tables}
	if s.Database == "" {
		s.Database = s.Role // as Postgres has it
	}
	if _, err := fmt.Print(s.SQL()); err != nil {
		return fmt.Errorf("print the script: %w", err)
	}
	return nil
}
