package pgdev

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// MinVersion is the oldest major version of Postgres that will do.
const MinVersion = 14

// ErrNotFound says that no Postgres server is installed here. The text around it
// says how to get one.
var ErrNotFound = errors.New("no Postgres server (version 14 or newer) found")

// Find returns the directory that holds postgres and initdb, and their major
// version. $SPILLWAY_PG_BIN or $PG_BIN decide alone when they are set; else the
// first of PATH and "pg_config --bindir" that will do; else the newest in the
// places where packages put it.
func Find() (bindir string, version int, err error) {
	for _, name := range []string{"SPILLWAY_PG_BIN", "PG_BIN"} {
		dir := os.Getenv(name)
		if dir == "" {
			continue
		}
		v, err := versionOf(dir)
		if err != nil {
			return "", 0, fmt.Errorf("look for Postgres in $%s: %w", name, err)
		}
		if v < MinVersion {
			return "", 0, fmt.Errorf("$%s holds Postgres %d, but %d or newer is needed", name, v, MinVersion)
		}
		return dir, v, nil
	}
	all := installed()
	if len(all) == 0 {
		return "", 0, fmt.Errorf("%w: %s", ErrNotFound, hint())
	}
	return all[0].bindir, all[0].version, nil
}

// findVersion looks for one major version: that of an existing data directory.
func findVersion(version int) (bindir string, ok bool) {
	for _, i := range installed() {
		if i.version == version {
			return i.bindir, true
		}
	}
	return "", false
}

type installation struct {
	bindir  string
	version int
}

// installed lists all usable installations, the preferred one first.
func installed() []installation {
	var list []installation
	seen := map[string]bool{}
	add := func(dir string) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		if dir == "" || seen[dir] {
			return
		}
		seen[dir] = true
		if v, err := versionOf(dir); err == nil && v >= MinVersion {
			list = append(list, installation{dir, v})
		}
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			add(filepath.Dir(real))
		}
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		add(strings.TrimSpace(string(out)))
	}
	preferred := len(list)
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/usr/local/pgsql*/bin",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			panic(err) // the patterns above are constant
		}
		for _, dir := range dirs {
			add(dir)
		}
	}
	slices.SortStableFunc(list[preferred:], func(a, b installation) int {
		return cmp.Compare(b.version, a.version)
	})
	return list
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

func versionOf(bindir string) (int, error) {
	if _, err := os.Stat(filepath.Join(bindir, "initdb")); err != nil {
		return 0, err
	}
	out, err := exec.Command(filepath.Join(bindir, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("ask postgres for its version: %w", err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("ask postgres for its version: it says %q", out)
	}
	return strconv.Atoi(string(m[1]))
}

func hint() string {
	const rest = ", or set SPILLWAY_PG_BIN to the directory that holds postgres and initdb"
	if runtime.GOOS == "darwin" {
		return `run "scripts/postgres.sh" or "brew install postgresql@17"` + rest
	}
	return `run "scripts/postgres.sh" or "apt-get install postgresql"` + rest
}
