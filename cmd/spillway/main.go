// Spillway serves subsets of Postgres tables ("shapes") to apps over HTTP and
// keeps them live. This command reads flags, variables and signals and turns
// the outcome into an exit code; what it starts lives in internal/.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/pgrepl"
)

// Exit codes, as documented in docs/operating.md.
const (
	exitOK       = 0
	exitInternal = 1
	exitConfig   = 2
	exitPostgres = 3
	exitStorage  = 4
	exitGhosts   = 5
)

type cli struct {
	Serve   serveCmd   `cmd:"" help:"Serve the tables of a Postgres database."`
	Dev     devCmd     `cmd:"" help:"Try it: starts a private Postgres with demo data if DATABASE_URL is not set, and serves it."`
	Doctor  doctorCmd  `cmd:"" help:"Look whether serve would run well with the same settings; changes nothing."`
	Tail    tailCmd    `cmd:"" help:"Print the rows of a shape, and then what happens to them."`
	Status  statusCmd  `cmd:"" help:"Print how a running service is; exit code 1 if it is not active."`
	Why     whyCmd     `cmd:"" help:"Print what happened to a shape, from its creation to its end."`
	Inspect inspectCmd `cmd:"" help:"Print what lies in the data directory of a service that does not run."`
	Verify  verifyCmd  `cmd:"" help:"Compare what clients of a running service are given with what SELECT returns."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

const about = `Spillway syncs subsets of Postgres tables ("shapes") to apps over plain HTTP, live.
It speaks the Electric protocol: every Electric client works unchanged.

  spillway dev                                      try it, with a Postgres of its own
  DATABASE_URL=… spillway doctor                    is everything ready for it?
  DATABASE_URL=… SPILLWAY_SECRET=… spillway serve   serve your database
  spillway tail issues                              look at a table, live

Every flag can be given as the variable named behind it. Exit codes: 0 asked to
stop, 1 internal error, 2 configuration, 3 Postgres is set up in a way that
cannot be used, 4 storage, 5 too many workers that hang: start it again.`

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	var c cli
	code := -1
	parser, err := kong.New(&c,
		kong.Name("spillway"),
		kong.Description(about),
		kong.UsageOnError(),
		kong.Exit(func(n int) { code = n }),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100}),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "spillway:", err)
		return exitInternal
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	if code >= 0 {
		return code // --help has been printed
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "spillway:", err)
		return exitConfig
	}
	sig, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// After the first signal a second one ends the process at once.
	context.AfterFunc(sig, stop)
	ctx.BindTo(sig, (*context.Context)(nil))
	status := exitCode(ctx.Run(sig, ctx))
	logs.flush(logsLimit)
	return status
}

// configError is a fault of the configuration.
type configError struct{ error }

func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	// By way of the log: a stderr that nobody reads must not keep the process from ending.
	fmt.Fprintln(logs, "spillway:", err)
	if advice := pgrepl.Advice(err); advice != "" {
		fmt.Fprintln(logs, "spillway: what to change:", advice)
	}
	var config configError
	switch {
	case errors.Is(err, engine.ErrGhosts):
		return exitGhosts
	case errors.As(err, &config):
		return exitConfig
	case errors.Is(err, engine.ErrPostgres):
		return exitPostgres
	case errors.Is(err, engine.ErrStorage):
		return exitStorage
	}
	return exitInternal
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run() error {
	fmt.Println("spillway", version())
	return nil
}

// version is that of the module when it was installed by "go install", else of
// the source tree's commit if the build recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
}
