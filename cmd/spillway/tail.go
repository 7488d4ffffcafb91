package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spillway-sync/spillway/client"
)

type tailCmd struct {
	Table   string   `arg:"" optional:"" help:"The table: name or schema.name, quoted as in SQL."`
	Where   string   `placeholder:"SQL" help:"Only rows for which this holds. $1 is the first --param."`
	Param   []string `sep:"none" placeholder:"TEXT" help:"A value for --where; may be given several times."`
	Columns []string `placeholder:"NAME,…" help:"Only these columns; the primary key must be among them."`
	Replica string   `placeholder:"default" enum:",default,full" default:"" help:"full: changes tell all columns, and what changed ones had before."`
	Shape   string   `placeholder:"QUERY" help:"The shape as the parameters of a URL, instead of all of the above: table=issues&where=…"`
	From    string   `placeholder:"start" help:"start: the rows that are there, then changes. now: changes only. HANDLE:OFFSET: where an earlier tail ended."`
	URL     string   `name:"url" placeholder:"http://127.0.0.1:3000" help:"Where the service, or a proxy before it, is."`
	Secret  string   `env:"SPILLWAY_SECRET,ELECTRIC_SECRET" placeholder:"TEXT" help:"What the service wants as ?secret=."`
	Format  string   `placeholder:"auto" enum:",json,table" default:"" help:"json: a line for each change. table: a live picture. If it is not given: table on a terminal, else json."`
	Control bool     `help:"Print the log's other messages too: up-to-date, snapshot-end."`
	Once    bool     `help:"End when everything that is there has been printed."`
	Poll    bool     `help:"Ask for changes one answer at a time, without server-sent events."`
}

// Help is what --help prints before the flags.
func (tailCmd) Help() string {
	return `Prints the rows of a shape, and then what happens to them, until Ctrl-C.

  spillway tail issues
      a live picture of a table (on a terminal)

  spillway tail issues --where 'priority >= $1 AND status = $2' --param 3 --param open
      some of its rows

  spillway tail issues --from now | jq -r '.headers.operation'
      JSON lines, of what happens from now on

  spillway tail issues --once > issues.jsonl
      the rows that are there

  spillway tail issues --from 1-1795479757887669-3d2ac099:22407224_0
      what happened since an earlier tail ended; it said this on stderr

A line is a message of the Electric protocol: key, value, headers. Values are
text as Postgres prints it, or null. A line with "must-refetch" means that all
before it is void: the server has begun the shape anew.`
}

// Run follows a shape and prints it.
func (c *tailCmd) Run(ctx context.Context) error {
	o, err := c.options()
	if err != nil {
		return configError{err}
	}
	table := c.Format == "table" || c.Format == "" && !c.Once && isTerminal(os.Stdout)
	if table && (c.Once || !isTerminal(os.Stdout)) {
		return configError{errors.New("--format=table needs a terminal, and does not go with --once")}
	}
	traffic := &counter{next: http.DefaultTransport}
	o.HTTPClient = &http.Client{Transport: traffic}
	if table {
		err = watch(ctx, o, traffic)
	} else {
		err = c.printLines(ctx, o, traffic)
	}
	var refused *client.Error
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // Ctrl-C
	case errors.As(err, &refused) && refused.Status < 500, errors.Is(err, client.ErrNotElectric):
		return configError{err}
	}
	return err
}

// options makes the client's options of the flags.
func (c *tailCmd) options() (client.Options, error) {
	o := client.Options{Secret: c.Secret, SSE: !c.Poll, Once: c.Once}
	u, err := url.Parse(c.URL)
	if err != nil {
		return o, errors.New("--url is not a URL such as http://127.0.0.1:3000")
	}
	if c.URL == "" {
		u = &url.URL{Scheme: "http", Host: "127.0.0.1:3000"}
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/shape"
	}
	switch {
	case c.Shape == "" && c.Table == "":
		return o, errors.New("which table? For example: spillway tail issues")
	case c.Shape != "" && (c.Table != "" || c.Where != "" || len(c.Param) > 0 || len(c.Columns) > 0 || c.Replica != ""):
		return o, errors.New("--shape says everything about the shape: leave the table, --where, --param, --columns and --replica out")
	case c.Shape != "":
		q, err := url.ParseQuery(strings.TrimPrefix(c.Shape, "?"))
		if err != nil {
			return o, fmt.Errorf("read --shape: %w", err)
		}
		if log := q.Get("log"); log != "" {
			o.Log = client.Log(log)
			q.Del("log")
		}
		u.RawQuery = q.Encode()
	}
	o.URL = u.String()
	o.Table, o.Where, o.Params, o.Columns, o.Replica = c.Table, c.Where, c.Param, c.Columns, client.Replica(c.Replica)
	o.From, err = parseFrom(c.From)
	return o, err
}

func parseFrom(text string) (client.Position, error) {
	switch text {
	case "", "start":
		return client.Position{}, nil
	case "now":
		return client.Now, nil
	}
	handle, offset, ok := strings.Cut(text, ":")
	if !ok || handle == "" || offset == "" {
		return client.Position{}, fmt.Errorf("--from %q is not start, now or HANDLE:OFFSET", text)
	}
	return client.Position{Handle: handle, Offset: offset}, nil
}

// printLines prints the shape's messages as JSON lines.
func (c *tailCmd) printLines(ctx context.Context, o client.Options, traffic *counter) error {
	progress := startProgress(os.Stderr, traffic)
	defer progress.stop()
	o.OnRetry = progress.retrying
	stream, err := client.NewShapeStream(o)
	if err != nil {
		return configError{err}
	}
	defer stream.Close()
	out := bufio.NewWriterSize(os.Stdout, 64<<10)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	err = func() error {
		for {
			batch, err := stream.Next(ctx)
			if err != nil {
				return err
			}
			progress.add(batch)
			for i := range batch {
				m := &batch[i]
				if !m.IsChange() && !m.IsMustRefetch() && !c.Control {
					continue
				}
				if err := lines.Encode(m); err != nil {
					return fmt.Errorf("print a message: %w", err)
				}
			}
			if err := out.Flush(); err != nil {
				return fmt.Errorf("print messages: %w", err)
			}
		}
	}()
	progress.stop()
	if p := stream.Position(); p.Handle != "" {
		fmt.Fprintf(os.Stderr, "spillway: to go on from here: --from %s:%s\n", p.Handle, p.Offset)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
