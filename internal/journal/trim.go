package journal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spillway-sync/spillway/internal/wal"
)

// splitPart is which part of SegmentBytes the newest segment must hold before
// Trim asks for a new one so as to delete it: a quiet journal is about this small,
// for a few fsyncs per part.
const splitPart = 16

// Trim deletes whole segments that Reader(boundary) does not need, oldest first.
// Readers that are inside one keep it until they leave it. If nothing but the
// newest segment is left and nobody needs it, the writer begins a new one, and
// the next Trim deletes it; so call it now and then even if the boundary stays.
// It does I/O, but takes no lock that others wait for; while one Trim works
// others return at once.
func (j *Journal) Trim(boundary wal.LSN) error {
	for {
		seg := j.victim(boundary)
		if seg == nil {
			return nil
		}
		if err := j.erase(seg); err != nil {
			j.mu.Lock()
			j.trimming = false
			j.mu.Unlock()
			return fmt.Errorf("trim the journal below %s: %w", boundary, err)
		}
		j.mu.Lock()
		j.doomed = j.doomed[1:]
		j.trimming = false
		j.mu.Unlock()
		poke(j.room)
	}
}

// victim returns the next segment to erase, nil if there is none. From now on
// no reader can begin in it.
func (j *Journal) victim(boundary wal.LSN) *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.trimming {
		return nil
	}
	if keep := j.startOf(boundary); keep != nil {
		n := keep.sequence - j.segments[0].sequence
		j.doomed = append(j.doomed, j.segments[:n]...)
		clear(j.segments[:n])
		j.segments = j.segments[n:]
	}
	j.askForSplit(boundary)
	if len(j.doomed) == 0 {
		return nil
	}
	j.trimming = true
	return j.doomed[0]
}

// askForSplit asks for a new segment if the newest could go. mu is held.
func (j *Journal) askForSplit(boundary wal.LSN) {
	seg := j.last.seg
	idle := j.tail.start() && j.tail.pos <= boundary
	if idle && seg.end-seg.first >= j.opts.SegmentBytes/splitPart && len(j.segments) > 0 {
		j.wantSplit = true
		poke(j.wake)
	}
}

// erase deletes a file and syncs the directory, so that a power cut cannot
// bring it back behind a younger one that stays deleted: that would look like a
// hole.
func (j *Journal) erase(seg *segment) error {
	if err := j.opts.FS.Remove(seg.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", seg.path, err)
	}
	dir, err := j.opts.FS.OpenDir(j.opts.Dir)
	if err != nil {
		return fmt.Errorf("open the directory: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	return nil
}
