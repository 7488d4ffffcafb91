package pgdev

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// owner is the user the server runs as, when that is not the user we are.
type owner struct {
	name     string
	uid, gid int
}

// serverOwner returns nil unless we are root.
func serverOwner() (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, fmt.Errorf("read user id of %s: %w", name, err)
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return nil, fmt.Errorf("read group id of %s: %w", name, err)
		}
		if uid != 0 {
			return &owner{name, uid, gid}, nil
		}
	}
	return nil, errors.New("we are root, Postgres refuses to run as root, and there is neither a user postgres nor a user nobody")
}

// id is the user id the server has.
func (o *owner) id() int {
	if o == nil {
		return os.Geteuid()
	}
	return o.uid
}

// own gives a file or directory to the server's user.
func (o *owner) own(path string) error {
	if o == nil {
		return nil
	}
	return os.Lchown(path, o.uid, o.gid)
}

// blocked returns the parent directory that the server's user cannot pass, or "".
func (o *owner) blocked(dir string) string {
	if o == nil {
		return ""
	}
	for d := filepath.Dir(dir); ; d = filepath.Dir(d) {
		if fi, err := os.Stat(d); err == nil && fi.Mode()&0o001 == 0 && !ownedBy(fi, o.uid) {
			return d
		}
		if d == filepath.Dir(d) {
			return ""
		}
	}
}

// Place returns dir, or, when the server's user cannot reach it (we are root
// and dir is below /root, say), a directory in /var/tmp that stands for it and
// is the same every time.
func Place(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("place the data directory: %w", err)
	}
	o, err := serverOwner()
	if err != nil {
		return "", err
	}
	if o.blocked(abs) == "" {
		return abs, nil
	}
	return filepath.Join("/var/tmp", "spillway-pg-"+shortHash(abs)), nil
}

// shortHash turns what a name must depend on into a part of a file name.
func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

// clusterVersion reads the major version of a data directory; 0: it holds none.
func clusterVersion(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the data directory: %w", err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("read the version of the data directory: %w", err)
	}
	return v, nil
}

// initdb makes a new cluster in dir, which exists and is empty.
func initdb(ctx context.Context, bindir, dir, locale string, o *owner) error {
	return runTool(ctx, bindir, dir, o, "initdb", "-U", "postgres", "--encoding=UTF8", "--locale="+locale,
		"--auth=trust", "--no-sync", "--no-instructions")
}

// runTool runs one of Postgres's programs on the cluster in dir, as its owner.
func runTool(ctx context.Context, bindir, dir string, o *owner, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(bindir, name), append([]string{"-D", dir}, args...)...)
	cmd.Dir = dir
	cmd.Env = serverEnv()
	setOwner(cmd, o)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w: %s", name, err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// fromTemplate makes a new cluster in dir by copying one that is kept in cache:
// a fifth of a second instead of seconds. Concurrent processes are safe: a
// template appears by rename, whole, and is never changed.
func fromTemplate(ctx context.Context, cache, bindir, dir, locale string, o *owner) error {
	name, err := templateName(bindir, locale, o)
	if err != nil {
		return err
	}
	path := filepath.Join(cache, name)
	if err := makeTemplate(ctx, path, bindir, locale, o); err != nil {
		return fmt.Errorf("make the template cluster: %w", err)
	}
	if err := copyTree(path, dir, o); err != nil {
		return fmt.Errorf("copy the template cluster: %w", err)
	}
	return nil
}

// templateName covers all that the template depends on: the minor version too,
// since it may bring another catalogue in beta versions.
func templateName(bindir, locale string, o *owner) (string, error) {
	out, err := exec.Command(filepath.Join(bindir, "postgres"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask postgres for its version: %w", err)
	}
	return fmt.Sprintf("spillway-pg-template-%d-%s", o.id(), shortHash(fmt.Sprintf("%s\n%s\n%s", bindir, out, locale))), nil
}

func makeTemplate(ctx context.Context, path, bindir, locale string, o *owner) error {
	fi, err := os.Lstat(path)
	switch {
	case err == nil:
		// The cache is a directory that everybody may write to.
		if !fi.IsDir() || !ownedBy(fi, o.id()) {
			return fmt.Errorf("%s does not belong to user id %d", path, o.id())
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "spillway-pg-initdb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // after the rename there is nothing left to remove
	if err := o.own(dir); err != nil {
		return err
	}
	if err := initdb(ctx, bindir, dir, locale, o); err != nil {
		return err
	}
	if err := os.Rename(dir, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err // ErrExist: another process was first
	}
	return nil
}

func copyTree(from, to string, o *owner) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			if err := os.Mkdir(target, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		} else if err := copyFile(path, target); err != nil {
			return err
		}
		return o.own(target)
	})
}

func copyFile(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	_, err = io.Copy(dst, src)
	return err
}

// serverEnv is our environment without what would steer Postgres.
func serverEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "LANG") {
			env = append(env, kv)
		}
	}
	return append(env, "LC_ALL=C")
}
