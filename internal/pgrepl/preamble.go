package pgrepl

import (
	"encoding/binary"
	"errors"

	"github.com/spillway-sync/spillway/internal/wal"
)

// preamble is all Relation messages of a session, for wal.Frame.Preamble.
//
// Frames share its memory: bytes are appended behind what was handed out and
// never changed, so ten thousand tables cost one copy of each message, not ten
// thousand of all. A table that is announced anew is appended, too (who reads in
// order ends with the newest); what is superseded goes when it is the half.
type preamble struct {
	data  []byte
	at    map[uint32]span // the newest message of a table, by OID
	stale int             // bytes of data that are superseded
}

// span is a place in preamble.data, with the length in front.
type span struct{ from, to int }

// add notes a Relation message and returns the whole, read-only.
func (p *preamble) add(msg []byte) ([]byte, error) {
	if len(msg) < 5 {
		return nil, errors.New("relation message without an OID")
	}
	oid := binary.BigEndian.Uint32(msg[1:5])
	if s, known := p.at[oid]; known {
		if string(p.data[s.from+4:s.to]) == string(msg) {
			return p.all(), nil
		}
		p.stale += s.to - s.from
	}
	if p.at == nil {
		p.at = make(map[uint32]span)
	}
	p.append(oid, msg)
	if p.stale > len(p.data)/2 {
		p.compact()
	}
	return p.all(), nil
}

func (p *preamble) append(oid uint32, msg []byte) {
	from := len(p.data)
	p.data = wal.AppendMessage(p.data, msg)
	p.at[oid] = span{from, len(p.data)}
}

// compact moves what counts into new memory, in the old order.
func (p *preamble) compact() {
	old := p.data
	p.data, p.stale = make([]byte, 0, len(old)), 0
	from := 0
	for msg := range wal.Messages(old) {
		to := from + 4 + len(msg)
		if oid := binary.BigEndian.Uint32(msg[1:5]); p.at[oid].from == from && p.at[oid].to == to {
			p.append(oid, msg)
		}
		from = to
	}
}

func (p *preamble) all() []byte { return p.data[:len(p.data):len(p.data)] }
