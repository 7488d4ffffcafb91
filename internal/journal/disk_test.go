package journal

import (
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errLie makes a sync say that it is done without doing it.
var errLie = errors.New("lie")

// sickFS is a file system whose answers a test decides. A hook may return an
// error or block; it is called before the operation, without a lock.
type sickFS struct {
	vfs.FS
	mu       sync.Mutex
	hook     func(op, path string) error
	partial  bool // a write that fails writes its first half
	truncate bool // files can be truncated, as real ones can
}

func (s *sickFS) set(hook func(op, path string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

func (s *sickFS) ask(op, path string) error {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(op, path)
}

func (s *sickFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	if err := s.ask("create", name); err != nil {
		return nil, err
	}
	f, err := s.FS.OpenReadWrite(name, c, o...)
	return s.wrap(f, name), err
}

func (s *sickFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	if err := s.ask("open", name); err != nil {
		return nil, err
	}
	return s.FS.Open(name, o...)
}

func (s *sickFS) OpenDir(name string) (vfs.File, error) {
	f, err := s.FS.OpenDir(name)
	return s.wrap(f, name), err
}

func (s *sickFS) Remove(name string) error {
	if err := s.ask("remove", name); err != nil {
		return err
	}
	return s.FS.Remove(name)
}

func (s *sickFS) wrap(f vfs.File, name string) vfs.File {
	w := &sickFile{File: f, fs: s, name: name}
	if s.truncate {
		return &truncatable{w}
	}
	return w
}

type sickFile struct {
	vfs.File
	fs   *sickFS
	name string
}

func (f *sickFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.ask("write", f.name); err != nil {
		if f.fs.partial {
			n, _ := f.File.WriteAt(p[:len(p)/2], off)
			return n, err
		}
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *sickFile) SyncData() error {
	if err := f.fs.ask("sync", f.name); err != nil {
		return orLie(err)
	}
	return f.File.SyncData()
}

func (f *sickFile) Sync() error {
	if err := f.fs.ask("sync", f.name); err != nil {
		return orLie(err)
	}
	return f.File.Sync()
}

func orLie(err error) error {
	if errors.Is(err, errLie) {
		return nil
	}
	return err
}

// truncatable only asks: MemFS cannot do it, and overwriting must do.
type truncatable struct{ *sickFile }

func (f *truncatable) Truncate(int64) error { return f.fs.ask("truncate", f.name) }
