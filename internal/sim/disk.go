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
	f, err := d.FS.Create(name, c)
	return d.wrap(f, name), err
}

// OpenReadWrite implements vfs.FS.
func (d *Disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.OpenReadWrite(name, c, o...)
	return d.wrap(f, name), err
}

func (d *Disk) wrap(f vfs.File, name string) vfs.File {
	if f == nil || !strings.HasPrefix(name, journalDir) {
		return f
	}
	return &diskFile{File: f, disk: d}
}

type diskFile struct {
	vfs.File
	disk *Disk
}

func (f *diskFile) Write(b []byte) (int, error) {
	if err := f.disk.write(); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

func (f *diskFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.disk.write(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func (f *diskFile) Sync() error {
	f.disk.sync()
	return f.File.Sync()
}

func (f *diskFile) SyncData() error {
	f.disk.sync()
	return f.File.SyncData()
}
