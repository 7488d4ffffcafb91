package chaos

import (
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS is a file system with the faults of the journal's disk. A nil receiver
// returns the file system as it is.
func (c *Faults) FS(fs vfs.FS) vfs.FS {
	if c == nil {
		return fs
	}
	return &disk{FS: fs, faults: c}
}

type disk struct {
	vfs.FS
	faults *Faults
}

// file passes through what the journal does with a file or a directory.
type file struct {
	vfs.File
	name   string
	faults *Faults
}

func (d *disk) wrap(f vfs.File, name string, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &file{File: f, name: name, faults: d.faults}, nil
}

func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.faults.space("create", name); err != nil {
		return nil, err
	}
	f, err := d.FS.Create(name, category)
	return d.wrap(f, name, err)
}

func (d *disk) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := d.faults.space("open", name); err != nil {
		return nil, err
	}
	f, err := d.FS.OpenReadWrite(name, category, opts...)
	return d.wrap(f, name, err)
}

func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	return d.wrap(f, name, err)
}

func (f *file) Write(b []byte) (int, error) {
	if err := f.faults.space("write", f.name); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	if err := f.faults.space("write", f.name); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func (f *file) Sync() error {
	if err := f.faults.sync(f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *file) SyncData() error {
	if err := f.faults.sync(f.name); err != nil {
		return err
	}
	return f.File.SyncData()
}

// Truncate gives space back, if the file below can do that.
func (f *file) Truncate(size int64) error {
	if t, ok := f.File.(interface{ Truncate(int64) error }); ok {
		return t.Truncate(size)
	}
	return nil
}

// space says that there is none.
func (c *Faults) space(op, name string) error {
	if c.on(JournalFull) == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: syscall.ENOSPC}
}

// sync hangs or fails.
func (c *Faults) sync(name string) error {
	f := c.on(FsyncHang, FsyncError)
	switch {
	case f == nil:
		return nil
	case f.req.Fault == FsyncHang:
		<-f.ended
		return nil
	}
	return &os.PathError{Op: "sync", Path: name, Err: syscall.EIO}
}
