package journal

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// recover reads all segments, oldest first, and leaves Journal as if their
// frames had just been fsynced.
func (j *Journal) recover() error {
	if err := j.makeDir(); err != nil {
		return err
	}
	sequences, err := j.list()
	if err != nil {
		return err
	}
	j.last = place{seg: new(segment)}
	j.tail.known = true // of a journal without a past
	var found []*found
	for i, seq := range sequences {
		f, err := j.examine(seq, i == len(sequences)-1)
		if err != nil {
			return err
		}
		if f == nil {
			if err := j.remove(j.path(seq)); err != nil {
				return err
			}
			continue
		}
		found = append(found, f)
	}
	for i, f := range found {
		limit := f.seg.size
		last := i == len(found)-1
		if !last {
			limit = found[i+1].header.previous
		}
		if err := j.adopt(f, limit, last); err != nil {
			return err
		}
	}
	return j.makeDurable()
}

// makeDir creates the directory and opens it for syncing.
func (j *Journal) makeDir() error {
	fs := j.opts.FS
	if err := fs.MkdirAll(j.opts.Dir, 0o750); err != nil {
		return fmt.Errorf("create the directory: %w", err)
	}
	parent, err := fs.OpenDir(fs.PathDir(j.opts.Dir))
	if err != nil {
		return fmt.Errorf("open the parent directory: %w", err)
	}
	if err := errors.Join(parent.Sync(), parent.Close()); err != nil {
		return fmt.Errorf("sync the parent directory: %w", err)
	}
	if j.w.dir, err = fs.OpenDir(j.opts.Dir); err != nil {
		return fmt.Errorf("open the directory: %w", err)
	}
	return nil
}

// list returns the numbers of the segments, which must have no gap: Trim
// deletes from the old end and syncs the directory after each file.
func (j *Journal) list() ([]uint64, error) {
	names, err := j.opts.FS.List(j.opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("list the directory: %w", err)
	}
	var sequences []uint64
	for _, name := range names {
		if n, ok := sequenceOf(name); ok {
			sequences = append(sequences, n)
		}
	}
	slices.Sort(sequences)
	for i := 1; i < len(sequences); i++ {
		if want := sequences[i-1] + 1; sequences[i] != want {
			return sequences, &CorruptError{Path: j.path(want), Cause: "the file is missing"}
		}
	}
	return sequences, nil
}

func (j *Journal) path(sequence uint64) string {
	return j.opts.FS.PathJoin(j.opts.Dir, fileName(sequence))
}

// found is a segment file with its header.
type found struct {
	seg    *segment
	header header
}

// examine reads a segment's header. It returns nil for the last one if a crash came
// before its header was durable: nothing in it counted.
func (j *Journal) examine(sequence uint64, last bool) (f *found, err error) {
	path := j.path(sequence)
	file, err := j.opts.FS.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open a segment: %w", err)
	}
	defer closeInto(&err, file)
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat %s: %w", path, err)
	}
	size := info.Size()
	h, err := readHeader(file, size)
	if err == nil && h.sequence != sequence {
		return nil, &CorruptError{Path: path, Cause: fmt.Sprintf("it is the file of segment %d", h.sequence)}
	}
	if errors.Is(err, errHeader) {
		vouched, verr := vouched(file, seedOf(sequence), 0, size)
		if verr != nil {
			return nil, fmt.Errorf("read %s: %w", path, verr)
		}
		if !last || vouched {
			return nil, &CorruptError{Path: path, Cause: err.Error()}
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the header of %s: %w", path, err)
	}
	first := int64(headerLen + len(h.state.preamble))
	return &found{header: h, seg: &segment{
		sequence: sequence,
		path:     path,
		first:    first,
		pos:      h.state.pos,
		start:    h.state.start(),
		seed:     seedOf(sequence),
		end:      first,
		size:     size,
	}}, nil
}

// readHeader reads the header of a file of this size. The error is errHeader if
// there is none.
func readHeader(file io.ReaderAt, size int64) (header, error) {
	if size < headerLen {
		return header{}, errHeader
	}
	b := make([]byte, headerLen)
	if _, err := file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return header{}, err
	}
	n, err := preambleLen(b)
	if err != nil {
		return header{}, err
	}
	if n > size-headerLen {
		return header{}, errHeader
	}
	b = append(b, make([]byte, n)...)
	if _, err := file.ReadAt(b[headerLen:], headerLen); err != nil && !errors.Is(err, io.EOF) {
		return header{}, err
	}
	return parseHeader(b)
}

// remove deletes a file and makes that durable.
func (j *Journal) remove(path string) error {
	if err := j.opts.FS.Remove(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	if err := j.w.dir.Sync(); err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	return nil
}

// adopt reads the frames of a segment up to limit and appends it to the journal.
func (j *Journal) adopt(f *found, limit int64, last bool) (err error) {
	seg := f.seg
	if limit < seg.first || limit > seg.size {
		return &CorruptError{Path: seg.path, Offset: seg.size, Cause: fmt.Sprintf("%d bytes should be here", limit)}
	}
	file, err := j.opts.FS.Open(seg.path)
	if err != nil {
		return fmt.Errorf("open a segment: %w", err)
	}
	defer closeInto(&err, file)
	j.tail.pos = max(j.tail.pos, seg.pos)
	j.tail.open = f.header.state.open
	broken, err := j.scan(file, seg, limit)
	if err != nil {
		return fmt.Errorf("read %s: %w", seg.path, err)
	}
	if broken {
		if err := j.cut(file, seg, last); err != nil {
			return err
		}
	}
	j.segments = append(j.segments, seg)
	j.sequence = seg.sequence
	j.last = place{seg, seg.end}
	// What this process knows of relations begins with the next session.
	j.tail.known, j.tail.preamble = false, nil
	return nil
}

// scan reads the frames of a segment and moves its end. broken: there is a
// fault at the end.
func (j *Journal) scan(file vfs.File, seg *segment, limit int64) (broken bool, err error) {
	c := cursor{file: file, seed: seg.seed, off: seg.first, end: limit, reuse: true, chunk: scanBytes}
	for c.off < limit {
		f, _, err := c.next()
		if errors.Is(err, errBroken) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if f.Kind == kindSeal {
			seg.sealed = true
			continue
		}
		j.tail.pos = max(j.tail.pos, f.Position)
		j.tail.open = f.Open
		seg.end = c.off
		seg.frames++
	}
	return false, nil
}

// cut decides what a fault at the end of seg is: torn, or damage.
func (j *Journal) cut(file vfs.File, seg *segment, last bool) error {
	damage := &CorruptError{Path: seg.path, Offset: seg.end, Cause: "no intact frame"}
	if !last {
		return damage
	}
	ok, err := vouched(file, seg.seed, seg.end, seg.size)
	if err != nil {
		return fmt.Errorf("read %s: %w", seg.path, err)
	}
	if ok {
		return damage
	}
	j.opts.Events.Torn(seg.path, seg.end, seg.size-seg.end)
	return nil
}

// vouched reports whether an intact frame at or after an offset says that the
// byte there was fsynced. Frames are looked for at every byte, because a fault
// may hide where they begin. It reads up to a segment, and only after a crash.
func vouched(file io.ReaderAt, seed uint32, at, size int64) (bool, error) {
	b := make([]byte, size-at)
	n, err := file.ReadAt(b, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	b = b[:n]
	for i := 0; i+frameLen <= len(b); i++ {
		h := b[i:]
		if !plausible(h) {
			continue
		}
		synced := syncedOf(h)
		if synced <= at || synced > at+int64(i) {
			continue
		}
		if n := frameLen + dataLen(h); n <= int64(len(h)) && intact(h[:n], seed) {
			return true, nil
		}
	}
	return false, nil
}

// makeDurable fsyncs what was found. A process that was killed may have left
// frames that are whole but only in the page cache, and we are about to call
// them Synced. All segments but the last were fsynced before the next began.
func (j *Journal) makeDurable() (err error) {
	if len(j.segments) == 0 {
		return nil
	}
	seg := j.last.seg
	file, err := j.opts.FS.OpenReadWrite(seg.path, category)
	if err != nil {
		return fmt.Errorf("open the last segment: %w", err)
	}
	defer closeInto(&err, file)
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", seg.path, err)
	}
	if err := j.w.dir.Sync(); err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	return nil
}

// closeInto closes c and keeps the error if there is no other.
func closeInto(err *error, c io.Closer) {
	if cerr := c.Close(); cerr != nil && *err == nil {
		*err = fmt.Errorf("close: %w", cerr)
	}
}
