package verify

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// kind says what an entry is about.
type kind byte

const (
	selected kind = iota // a row that SELECT returns
	inserted
	updated
	deleted
	held // what clients must have before the change that follows (replica=full)
)

// entry is what is kept of a row or a message.
type entry struct {
	kind   kind
	key    string
	commit uint64 // 0: of the first rows
	cells  []cell
}

// cell is one column's value: a hash of it, 0 for NULL.
type cell struct {
	column int
	hash   uint64
}

var seed = maphash.MakeSeed()

func (e *entry) set(column int, text []byte, valid bool) {
	c := cell{column: column}
	if valid {
		c.hash = max(maphash.Bytes(seed, text), 1)
	}
	e.cells = append(e.cells, c)
}

func (e *entry) append(b []byte) []byte {
	b = append(b, byte(e.kind))
	b = binary.AppendUvarint(b, e.commit)
	b = binary.AppendUvarint(b, uint64(len(e.key)))
	b = append(b, e.key...)
	b = binary.AppendUvarint(b, uint64(len(e.cells)))
	for _, c := range e.cells {
		b = binary.AppendUvarint(b, uint64(c.column))
		b = binary.LittleEndian.AppendUint64(b, c.hash)
	}
	return b
}

// read reads what append has written.
func (e *entry) read(r *bufio.Reader) error {
	first, err := r.ReadByte()
	if err != nil {
		return err // io.EOF: there are no more
	}
	e.kind = kind(first)
	number := func() (n uint64) {
		if err == nil {
			n, err = binary.ReadUvarint(r)
		}
		return n
	}
	fill := func(b []byte) {
		if err == nil {
			_, err = io.ReadFull(r, b)
		}
	}
	e.commit = number()
	key := make([]byte, number())
	fill(key)
	e.key = string(key)
	e.cells = make([]cell, number())
	for i := range e.cells {
		var hash [8]byte
		e.cells[i].column = int(number())
		fill(hash[:])
		e.cells[i].hash = binary.LittleEndian.Uint64(hash[:])
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // in the middle of an entry
	}
	return err
}

const (
	partBits = 6
	parts    = 1 << partBits
	// deepest is how often a part can be cut again: a hash has 64 bits.
	deepest = 64/partBits - 1
)

// store keeps entries, cut into parts by their keys. Each part has its entries in the
// order in which they came. A quarter of the memory is for what is not in files yet,
// half for the rows of the part that is being compared.
type store struct {
	memory int64
	depth  int
	dir    string // of the files; "": there are none
	parts  [parts]part
	used   int64 // bytes in memory
}

type part struct {
	file   *os.File // nil: all is in memory
	memory []byte   // behind what is in the file
}

func newStore(memory int64) *store { return &store{memory: memory} }

func (s *store) add(e *entry) error {
	p := &s.parts[maphash.String(seed, e.key)>>(partBits*s.depth)%parts]
	n := len(p.memory)
	p.memory = e.append(p.memory)
	if s.used += int64(len(p.memory) - n); s.used > s.memory/4 {
		return s.spill()
	}
	return nil
}

// spill moves what is in memory to files.
func (s *store) spill() (err error) {
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "spillway-verify-"); err != nil {
			return fmt.Errorf("keep rows in a file: %w", err)
		}
	}
	for i := range s.parts {
		p := &s.parts[i]
		if p.file == nil && len(p.memory) > 0 {
			if p.file, err = os.OpenFile(filepath.Join(s.dir, strconv.Itoa(i)), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err != nil {
				return fmt.Errorf("keep rows in a file: %w", err)
			}
		}
		if len(p.memory) > 0 {
			if _, err := p.file.Write(p.memory); err != nil {
				return fmt.Errorf("keep rows in a file: %w", err)
			}
		}
		p.memory = nil
	}
	s.used = 0
	return nil
}

// each calls f with each entry of a part. f must not keep it.
func (s *store) each(ctx context.Context, p *part, f func(e *entry) error) error {
	sources := []io.Reader{bytes.NewReader(p.memory)}
	if p.file != nil {
		if _, err := p.file.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read rows from a file: %w", err)
		}
		sources = append([]io.Reader{p.file}, sources...)
	}
	r := bufio.NewReader(io.MultiReader(sources...))
	for ctx.Err() == nil {
		var e entry
		switch err := e.read(r); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read rows from a file: %w", err)
		}
		if err := f(&e); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// close removes the files.
func (s *store) close() error {
	var errs []error
	for i := range s.parts {
		if f := s.parts[i].file; f != nil {
			errs = append(errs, f.Close())
		}
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the files of rows: %w", err)
	}
	return nil
}
