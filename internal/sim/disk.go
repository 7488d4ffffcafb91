package sim

import (
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Disk is a file system in memory that can lose power, and whose journal can be
// full, slow or stuck. (Only the journal's: nobody there holds a mutex while he
// waits for the disk, which virtual time could not bear.)
type Disk struct {
	vfs.FS
	mem *vfs.MemFS

	mu   sync.Mutex // leaf
	full bool
	slow time.Duration
	// stuck, if set, holds up every sync until it is closed.
	stuck chan struct{}
	// before, if set, is called before the left-th operation that changes the disk.
	before func()
	left   int
}

// NewDisk returns an empty disk.
func NewDisk() *Disk { return onDisk(vfs.NewCrashableMem()) }

func onDisk(mem *vfs.MemFS) *Disk { return &Disk{FS: mem, mem: mem} }

// Crash returns what a crash at this moment leaves. A killed process leaves all
// it has written; a power cut leaves what was synced and so many percent of the
// rest.
func (d *Disk) Crash(percent int, rng *rand.Rand) *Disk {
	return onDisk(d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
}

// Fill makes writes to the journal fail for want of space.
func (d *Disk) Fill(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

// Slow makes each sync of the journal take that long.
func (d *Disk) Slow(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow = by
}

// Stick holds up the journal's syncs until it is called with false.
func (d *Disk) Stick(stuck bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case stuck && d.stuck == nil:
		d.stuck = make(chan struct{})
	case !stuck && d.stuck != nil:
		close(d.stuck)
		d.stuck = nil
	}
}

// Before has f called before the n-th operation from now on that changes the disk,
// in the goroutine that is about to do it.
func (d *Disk) Before(n int, f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.before = n, f
}

// change counts an operation.
func (d *Disk) change() {
	d.mu.Lock()
	var f func()
	if d.before != nil {
		if d.left--; d.left <= 0 {
			f, d.before = d.before, nil
		}
	}
	d.mu.Unlock()
	if f != nil {
		f()
	}
}

func (d *Disk) write() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return syscall.ENOSPC
	}
	return nil
}

func (d *Disk) sync() {
	d.mu.Lock()
	slow, stuck := d.slow, d.stuck
	d.mu.Unlock()
	if slow > 0 {
		time.Sleep(slow)
	}
	if stuck != nil {
		<-stuck
	}
}

// Create implements vfs.FS.
func (d *Disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.change()
	f, err := d.FS.Create(name, c)
	return d.wrap(f, name), err
}

// OpenReadWrite implements vfs.FS.
func (d *Disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.OpenReadWrite(name, c, o...)
	return d.wrap(f, name), err
}

// Rename implements vfs.FS.
func (d *Disk) Rename(from, to string) error {
	d.change()
	return d.FS.Rename(from, to)
}

// Remove implements vfs.FS.
func (d *Disk) Remove(name string) error {
	d.change()
	return d.FS.Remove(name)
}

func (d *Disk) wrap(f vfs.File, name string) vfs.File {
	if f == nil {
		return nil
	}
	return &diskFile{File: f, disk: d, journal: strings.HasPrefix(name, journalDir)}
}

type diskFile struct {
	vfs.File
	disk    *Disk
	journal bool
}

func (f *diskFile) Write(b []byte) (int, error) {
	if err := f.write(); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

func (f *diskFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.write(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func (f *diskFile) Sync() error {
	f.sync()
	return f.File.Sync()
}

func (f *diskFile) SyncData() error {
	f.sync()
	return f.File.SyncData()
}

func (f *diskFile) write() error {
	f.disk.change()
	if !f.journal {
		return nil
	}
	return f.disk.write()
}

func (f *diskFile) sync() {
	f.disk.change()
	if f.journal {
		f.disk.sync()
	}
}
