package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spillway-sync/spillway/internal/engine"
)

const (
	// leastSpace is with which the journal can take a burst.
	leastSpace = 256 << 20
	// fewDescriptors are enough for a few hundred clients, each of which takes one.
	fewDescriptors = 4096
)

// settings says what is wrong with the configuration itself.
func settings(r *Report, o *Options) {
	g := r.group(groupSettings)
	for _, f := range o.Faults {
		g.fail("configuration", f, "Correct the setting; spillway serve --help explains them all.")
	}
	if len(o.Faults) == 0 {
		g.ok("configuration", "no faults; slot %s, publication %s", o.Config.Slot(), o.Config.Publication())
	}
	for _, w := range o.Warnings {
		g.warn("unknown_variable", w, "Remove it, or correct its name.")
	}
	ip := net.ParseIP(o.Config.ListenAddr)
	if o.Config.Insecure && (ip == nil || !ip.IsLoopback()) && o.Config.ListenAddr != "localhost" {
		g.warn("insecure", "SPILLWAY_INSECURE is set, and clients are served on all that can reach the port: whoever does can read the database.",
			"Set SPILLWAY_SECRET, or SPILLWAY_LISTEN_ADDR=127.0.0.1 behind a proxy that checks who asks.")
	}
}

// host looks at the machine. It says whether a service works in the data directory.
func host(r *Report, o *Options) (running bool) {
	g := r.group(groupHost)
	running = dataDir(g, &o.Config)
	descriptors(g, o)
	port(g, "port", "SPILLWAY_PORT", net.JoinHostPort(o.Config.ListenAddr, strconv.Itoa(o.Config.Port)), running)
	if o.Config.AdminAddr != "" {
		port(g, "admin_port", "SPILLWAY_ADMIN_ADDR", o.Config.AdminAddr, running)
	}
	return running
}

func dataDir(g group, c *engine.Config) (running bool) {
	const remedy = "Give it to the user that Spillway runs as, or set SPILLWAY_DATA_DIR to a directory of a local disk."
	dir, there := nearest(c.DataDir)
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		g.fail("data_dir", fmt.Sprintf("%s cannot be looked at: %v", dir, err), remedy)
		return false
	case !info.IsDir():
		g.fail("data_dir", dir+" is not a directory.", remedy)
		return false
	case unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK) != nil:
		g.fail("data_dir", fmt.Sprintf("We may not write in %s.", dir), remedy)
		return false
	}
	switch lock, err := engine.LockForReading(c.DataDir); {
	case err == nil:
		g.ok("data_dir", "%s, of a service that does not run", c.DataDir)
		_ = lock.Close() // it was only read
	case errors.Is(err, engine.ErrInUse):
		running = true
		g.ok("data_dir", "%s; a service is running in it", c.DataDir)
	case errors.Is(err, fs.ErrNotExist) && there:
		g.ok("data_dir", "%s, in which no service has run yet", c.DataDir)
	case errors.Is(err, fs.ErrNotExist):
		g.ok("data_dir", "%s will be made", c.DataDir)
	default:
		g.fail("data_dir", err.Error(), remedy)
	}
	space(g, dir, c.JournalBudget)
	return running
}

// nearest is a directory, or the one above it that there is.
func nearest(dir string) (have string, there bool) {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	for there = true; ; there = false {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir, there
		}
		dir = filepath.Dir(dir)
	}
}

func space(g group, dir string, budget int64) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		g.fail("free_space", fmt.Sprintf("%s: %v", dir, err), "Set SPILLWAY_DATA_DIR to a directory of a local disk.")
		return
	}
	freeSpace(g, int64(s.Bavail)*int64(s.Bsize), budget)
}

func freeSpace(g group, free, budget int64) {
	const remedy = "Make room, or set SPILLWAY_JOURNAL_BUDGET to less; shapes' logs take their own on top."
	found := fmt.Sprintf("%s free; the journal may take %s.", size(free), size(budget))
	switch {
	case free < leastSpace:
		g.fail("free_space", found, remedy)
	case free < budget:
		g.warn("free_space", found, remedy)
	default:
		g.ok("free_space", "%s free, of which the journal may take %s", size(free), size(budget))
	}
}

func descriptors(g group, o *Options) {
	const remedy = "Raise the limit of open files: ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of Docker."
	n, wanted := o.Descriptors, o.Config.MaxConnections
	switch {
	case n == 0:
		g.ok("open_files", "no limit")
	case wanted > 0 && n < wanted+wanted/4:
		g.warn("open_files", fmt.Sprintf("%d files may be open, but SPILLWAY_MAX_CONNECTIONS lets %d clients in.", n, wanted), remedy)
	case n < fewDescriptors:
		g.warn("open_files", fmt.Sprintf("Only %d files and sockets may be open at once; every client that waits takes one.", n), remedy)
	default:
		g.ok("open_files", "%d at once", n)
	}
}

func port(g group, code, setting, addr string, running bool) {
	if strings.HasSuffix(addr, ":0") {
		g.ok(code, "any that is free")
		return
	}
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		_ = l.Close() // nobody has connected
		g.ok(code, "%s is free", addr)
	case running:
		g.ok(code, "%s is in use, by the running service it seems", addr)
	default:
		g.fail(code, fmt.Sprintf("%s: %v", addr, err), "End what listens there, or set "+setting+" to another one.")
	}
}
