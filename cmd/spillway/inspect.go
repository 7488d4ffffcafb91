package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/inspect"
	"github.com/spillway-sync/spillway/internal/shape"
)

type inspectCmd struct {
	Dir     string `arg:"" help:"The data directory (SPILLWAY_DATA_DIR of the service)."`
	Handle  string `arg:"" optional:"" help:"A shape's handle: what lies there of that shape."`
	Entries bool   `help:"Print the shape's log instead: each entry as a line of JSON, with its offset."`
	JSON    bool   `name:"json" help:"Print what was found as JSON."`
}

// Help tells what the command does.
func (inspectCmd) Help() string {
	return `Reads the data directory of a service that does not run, after a stop or after a crash, and changes
nothing. While a service works there it refuses: ask that one (spillway status, spillway why). As long as
it reads, no service can start there.

  spillway inspect spillway-data                        journal, shapes, removed shapes, the largest ones
  spillway inspect spillway-data HANDLE                 one shape: definition, first rows, cursor, log
  spillway inspect spillway-data HANDLE --entries       its log, as far as it is durable

Without a handle no row is printed, but WHERE clauses are. A service that was killed has durable entries up
to two seconds old; what is newer is in the journal, and the next start writes it again.

The exit code is 1 if something is damaged, or cannot be read.`
}

// errDamaged ends an inspection that found something.
var errDamaged = errors.New("something there is damaged, or cannot be read; it is told above")

// Run reads a data directory and prints what is in it.
func (c *inspectCmd) Run() (err error) {
	if c.Entries && c.Handle == "" {
		return configError{errors.New("--entries needs the handle of a shape")}
	}
	lock, err := engine.LockForReading(c.Dir)
	switch {
	case errors.Is(err, engine.ErrInUse):
		return fmt.Errorf("a service works in %s: stop it, or ask it (spillway status, spillway why HANDLE)", c.Dir)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is not the data directory of a service: no file LOCK is in it", c.Dir)
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	d := inspect.Open(c.Dir)
	defer func() { err = errors.Join(err, d.Close()) }()
	if c.Handle != "" {
		return c.shape(d)
	}
	r := d.Look()
	if c.JSON {
		err = printJSON(r)
	} else {
		err = inspect.WriteText(os.Stdout, r)
	}
	if err == nil && len(r.Problems) > 0 {
		return errDamaged
	}
	return err
}

func (c *inspectCmd) shape(d *inspect.Directory) error {
	var entries io.Writer
	if c.Entries {
		entries = os.Stdout
	}
	s, err := d.Shape(shape.Handle(c.Handle), entries)
	switch {
	case err != nil:
		return err
	case c.Entries:
		return nil
	case c.JSON:
		return printJSON(s)
	}
	return inspect.WriteShape(os.Stdout, s)
}

// printJSON prints a report for programs.
func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print what was found: %w", err)
	}
	return nil
}
