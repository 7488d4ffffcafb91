package shapelog

import (
	"encoding/binary"

	"github.com/spillway-sync/spillway/internal/shape"
)

// Inline returns the form in which a complete snapshot that made no files is
// stored in the catalogue; false if it did, or is not complete. The form is the
// number of chunks, then the size of each (both uvarint), then their bytes.
func (s *Snapshot) Inline() ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.inline || s.err != nil {
		return nil, false
	}
	out := make([]byte, 0, s.total+(1+len(s.chunks))*binary.MaxVarintLen32)
	out = binary.AppendUvarint(out, uint64(len(s.chunks)))
	for _, c := range s.chunks {
		out = binary.AppendUvarint(out, uint64(len(c.tail)))
	}
	for _, c := range s.chunks {
		out = append(out, c.tail...)
	}
	return out, true
}

// DecodeInline reads what Inline returned. The snapshot keeps b.
func DecodeInline(id shape.ID, b []byte) (*Snapshot, error) {
	damaged := &CorruptError{id, "inline snapshot"}
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)) {
		return nil, damaged
	}
	b = b[used:]
	sizes := make([]uint64, n)
	var sum uint64
	for i := range sizes {
		if sizes[i], used = binary.Uvarint(b); used <= 0 || sizes[i] > uint64(len(b)) {
			return nil, damaged
		}
		sum += sizes[i]
		b = b[used:]
	}
	if sum != uint64(len(b)) {
		return nil, damaged
	}
	s := &Snapshot{id: id, nChunks: int(n), complete: true, inline: true, total: len(b)}
	for _, size := range sizes {
		s.chunks = append(s.chunks, &chunk{tail: b[:size:size], closed: true})
		b = b[size:]
	}
	return s, nil
}
