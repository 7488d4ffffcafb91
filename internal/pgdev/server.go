package pgdev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startLimit = 60 * time.Second
	stopLimit  = 30 * time.Second
	pollEvery  = 5 * time.Millisecond
)

// Options says what server is wanted.
type Options struct {
	// Dir is the data directory. A cluster that is there is used, else one is
	// made. See Place.
	Dir string
	// Settings go to the server's command line and win over its files.
	Settings map[string]string
	// Port on 127.0.0.1; 0: a free one.
	Port int
	// Locale for initdb; "": C.UTF-8 where the system has it, else C.
	Locale string
	// TemplateCache is a directory in which a fresh cluster is kept to be
	// copied; "": run initdb each time. It must be reachable like Dir.
	TemplateCache string
	// Ephemeral: Dir is removed by Stop, and also when we are killed.
	Ephemeral bool
	// Log tells what goes on; nil: nobody. The server's own output is in the
	// file server.log of Dir.
	Log *slog.Logger
}

// Server is a running Postgres. Its methods may be called from any goroutine.
type Server struct {
	opts    Options
	bindir  string
	version int
	owner   *owner
	sockets string // directory of the Unix socket, removed by Stop
	port    int

	mu   sync.Mutex // held while the process is started or stopped
	proc *process   // nil when stopped
}

// process is one run of the server.
type process struct {
	pid    int
	signal func(os.Signal) error
	done   chan struct{} // closed when the process has ended
	guard  *guard        // nil: none needed
}

// Start starts a server and waits until it accepts connections.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("start Postgres: %w", err)
	}
	opts.Dir = dir
	s := &Server{opts: opts, port: opts.Port}
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("start Postgres: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start Postgres: %w", err), s.clean())
	}
	return s, nil
}

// prepare finds the binaries and makes directories and cluster.
func (s *Server) prepare(ctx context.Context) (err error) {
	if s.bindir, s.version, err = Find(); err != nil {
		return err
	}
	if s.owner, err = serverOwner(); err != nil {
		return err
	}
	if d := s.owner.blocked(s.opts.Dir); d != "" {
		return fmt.Errorf("user %s, whom the server must run as since we are root, cannot pass directory %s: choose a data directory elsewhere", s.owner.name, d)
	}
	if err := os.MkdirAll(s.opts.Dir, 0o700); err != nil {
		return err
	}
	if err := s.owner.own(s.opts.Dir); err != nil {
		return err
	}
	if err := s.prepareCluster(ctx); err != nil {
		return err
	}
	return s.prepareSockets()
}

// prepareSockets makes the directory of the Unix socket. A socket's path has to
// fit into about 100 bytes, so it is never below Dir.
func (s *Server) prepareSockets() error {
	base := os.TempDir()
	if len(base) > 40 || s.owner.blocked(filepath.Join(base, "x")) != "" {
		base = "/tmp"
	}
	// The name follows from Dir: what a killed predecessor left is used again.
	s.sockets = filepath.Join(base, "spillway-pg-socket-"+shortHash(s.opts.Dir))
	err := os.Mkdir(s.sockets, 0o700)
	if err == nil {
		return s.owner.own(s.sockets)
	}
	if fi, statErr := os.Lstat(s.sockets); statErr == nil && fi.IsDir() && ownedBy(fi, s.owner.id()) {
		return nil
	}
	return err
}

func (s *Server) prepareCluster(ctx context.Context) error {
	have, err := clusterVersion(s.opts.Dir)
	if err != nil {
		return err
	}
	if have != 0 {
		if have == s.version {
			return nil
		}
		bindir, ok := findVersion(have)
		if !ok {
			return fmt.Errorf("%s was made by Postgres %d, but Postgres %d is installed: install %d, or choose another directory", s.opts.Dir, have, s.version, have)
		}
		s.bindir, s.version = bindir, have
		return nil
	}
	s.opts.Log.Info("creating a Postgres cluster", "dir", s.opts.Dir, "version", s.version)
	locales := []string{"C.UTF-8", "C"}
	if s.opts.Locale != "" {
		locales = []string{s.opts.Locale}
	}
	for _, locale := range locales {
		if s.opts.TemplateCache != "" {
			err = fromTemplate(ctx, s.opts.TemplateCache, s.bindir, s.opts.Dir, locale, s.owner)
		} else {
			err = initdb(ctx, s.bindir, s.opts.Dir, locale, s.owner)
		}
		if err == nil || !strings.Contains(err.Error(), "invalid locale") {
			break
		}
	}
	return err
}

// start runs the server, again if it could not because of something that
// passes: somebody took our port, or children of a killed server are still
// about. s.mu is held.
func (s *Server) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		if s.port == 0 {
			port, err := freePort()
			if err != nil {
				return err
			}
			s.port = port
		}
		err := s.startOnce(ctx)
		if err == nil {
			s.opts.Log.Info("Postgres is running", "version", s.version, "port", s.port, "dir", s.opts.Dir, "pid", s.proc.pid)
			return nil
		}
		switch text := err.Error(); {
		case strings.Contains(text, "could not bind") && s.opts.Port == 0:
			s.port = 0
		case strings.Contains(text, "is still in use"):
		default:
			return err
		}
		if wait(ctx, 10*pollEvery) != nil {
			return err
		}
	}
}

func (s *Server) startOnce(ctx context.Context) error {
	logFile, err := s.openLog()
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(s.bindir, "postgres"), s.args()...)
	cmd.Dir = s.opts.Dir
	cmd.Env = serverEnv()
	cmd.Stdout, cmd.Stderr = logFile, logFile
	setOwner(cmd, s.owner)
	p, err := run(cmd)
	if err := errors.Join(err, logFile.Close()); err != nil {
		return err
	}
	s.proc = p
	if needGuard || s.opts.Ephemeral {
		remove := []string(nil)
		if s.opts.Ephemeral {
			remove = []string{s.opts.Dir, s.sockets}
		}
		if p.guard, err = startGuard(p.pid, remove); err != nil {
			return errors.Join(err, s.stop(syscall.SIGQUIT))
		}
	}
	if err := s.awaitReady(ctx); err != nil {
		return errors.Join(err, s.stop(syscall.SIGQUIT))
	}
	return nil
}

func (s *Server) args() []string {
	args := []string{
		"-D", s.opts.Dir, "-k", s.sockets, "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1",
		"-c", "wal_level=logical",
		"-c", "logging_collector=off",
	}
	for _, k := range slices.Sorted(maps.Keys(s.opts.Settings)) {
		args = append(args, "-c", k+"="+s.opts.Settings[k])
	}
	return args
}

func (s *Server) openLog() (*os.File, error) {
	f, err := os.OpenFile(s.LogPath(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := s.owner.own(s.LogPath()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// awaitReady waits for the line of postmaster.pid that says so.
func (s *Server) awaitReady(ctx context.Context) error {
	for {
		b, err := os.ReadFile(filepath.Join(s.opts.Dir, "postmaster.pid"))
		if lines := strings.Split(string(b), "\n"); err == nil && len(lines) > 7 &&
			strings.TrimSpace(lines[0]) == strconv.Itoa(s.proc.pid) && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
		select {
		case <-s.proc.done:
			return fmt.Errorf("the server ended: %s", s.lastWords())
		default:
		}
		if err := wait(ctx, pollEvery); err != nil {
			return fmt.Errorf("wait until the server accepts connections: %w: %s", err, s.lastWords())
		}
	}
}

// lastWords is the end of the server's log.
func (s *Server) lastWords() string {
	b, err := os.ReadFile(s.LogPath())
	if err != nil {
		return err.Error()
	}
	b = bytes.TrimSpace(b)
	return string(b[max(0, len(b)-2000):])
}

// Mode says how to stop.
type Mode int

// The modes, in Postgres's own words.
const (
	// Fast ends all sessions and shuts down in good order.
	Fast Mode = iota
	// Immediate ends at once; the next start recovers from the WAL.
	Immediate
)

// Stop stops the server and waits until it is gone. Stopping a stopped server
// does nothing.
func (s *Server) Stop(mode Mode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sig := syscall.SIGINT
	if mode == Immediate {
		sig = syscall.SIGQUIT
	}
	if err := errors.Join(s.stop(sig), s.clean()); err != nil {
		return fmt.Errorf("stop Postgres: %w", err)
	}
	return nil
}

// Kill kills the server as a power cut would; Restart brings it back.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	// Its children would go on for a moment and answer their clients. While it
	// is stopped it makes no new ones.
	if err := s.proc.signal(sigstop); err != nil {
		return fmt.Errorf("kill Postgres: %w", err)
	}
	list, err := children(s.proc.pid)
	for _, pid := range list {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill() // it may have ended by itself
		}
	}
	if err := errors.Join(err, s.stop(syscall.SIGKILL)); err != nil {
		return fmt.Errorf("kill Postgres: %w", err)
	}
	return nil
}

// Halt stops the server like Stop, but keeps everything for Restart.
func (s *Server) Halt(mode Mode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sig := syscall.SIGINT
	if mode == Immediate {
		sig = syscall.SIGQUIT
	}
	if err := s.stop(sig); err != nil {
		return fmt.Errorf("halt Postgres: %w", err)
	}
	return nil
}

// Tool runs one of Postgres's programs on the cluster of a halted server, such as
// pg_resetwal.
func (s *Server) Tool(ctx context.Context, name string, args ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		return fmt.Errorf("run %s: the server is running", name)
	}
	return runTool(ctx, s.bindir, s.opts.Dir, s.owner, name, args...)
}

// Restart stops the server, if it runs, and starts it again on the same port.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stop(syscall.SIGINT); err != nil {
		return fmt.Errorf("restart Postgres: %w", err)
	}
	if err := s.start(ctx); err != nil {
		return fmt.Errorf("restart Postgres: %w", err)
	}
	return nil
}

// stop ends the process. s.mu is held.
func (s *Server) stop(sig os.Signal) error {
	p := s.proc
	if p == nil {
		return nil
	}
	var errs []error
	if err := p.signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		errs = append(errs, err)
	}
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		errs = append(errs, fmt.Errorf("still there %s after %v, killed", stopLimit, sig))
		if err := p.signal(os.Kill); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
		}
		<-p.done
	}
	if p.guard != nil {
		errs = append(errs, p.guard.dismiss())
	}
	s.proc = nil
	return errors.Join(errs...)
}

// clean removes what is not to stay when the server is stopped for good.
func (s *Server) clean() error {
	var err error
	if s.opts.Ephemeral {
		err = os.RemoveAll(s.opts.Dir)
	}
	return errors.Join(err, os.RemoveAll(s.sockets))
}

// URL is the connection string of a database, for the superuser postgres.
func (s *Server) URL(db string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User("postgres"),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/" + db,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Port is the port on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// Version is the server's major version.
func (s *Server) Version() int { return s.version }

// LogPath is the file with the server's own output since its last start.
func (s *Server) LogPath() string { return filepath.Join(s.opts.Dir, "server.log") }

// PID is the server's process id; 0: it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.pid
}

// Done is closed when the server of this moment has ended. It is nil when none
// runs.
func (s *Server) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	return s.proc.done
}

// freePort is a port that nobody listens on at this moment. Somebody else may
// take it before the server does: start tries again then.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	return port, nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
