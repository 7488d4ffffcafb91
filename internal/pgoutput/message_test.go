package pgoutput_test

import (
	"encoding/binary"

	"github.com/spillway-sync/spillway/internal/wal"
)

// Messages as Postgres writes them, made by hand. A value is a text, or one of
// these two.
const (
	null      = "\x00null"
	unchanged = "\x00unchanged"
)

var be = binary.BigEndian

func begin(commit wal.LSN, xid wal.XID) []byte {
	b := be.AppendUint64([]byte{'B'}, uint64(commit))
	b = be.AppendUint64(b, 7)
	return be.AppendUint32(b, uint32(xid))
}

func commit(lsn, end wal.LSN) []byte {
	b := be.AppendUint64([]byte{'C', 0}, uint64(lsn))
	b = be.AppendUint64(b, uint64(end))
	return be.AppendUint64(b, 7)
}

func relation(r *wal.Relation) []byte {
	b := be.AppendUint32([]byte{'R'}, r.OID)
	b = append(b, r.Schema+"\x00"+r.Name+"\x00"...)
	b = append(b, r.Identity)
	b = be.AppendUint16(b, uint16(len(r.Columns)))
	for _, c := range r.Columns {
		flags := byte(0)
		if c.Key {
			flags = 1
		}
		b = append(append(b, flags), c.Name+"\x00"...)
		b = be.AppendUint32(b, c.Type)
		b = be.AppendUint32(b, uint32(c.TypMod))
	}
	return b
}

func row(b []byte, tag byte, values ...string) []byte {
	b = be.AppendUint16(append(b, tag), uint16(len(values)))
	for _, v := range values {
		switch v {
		case null:
			b = append(b, 'n')
		case unchanged:
			b = append(b, 'u')
		default:
			b = be.AppendUint32(append(b, 't'), uint32(len(v)))
			b = append(b, v...)
		}
	}
	return b
}

func insert(oid uint32, values ...string) []byte {
	return row(be.AppendUint32([]byte{'I'}, oid), 'N', values...)
}

// update has an old row behind the tag 'O' or 'K', or none behind 0.
func update(oid uint32, tag byte, old, values []string) []byte {
	b := be.AppendUint32([]byte{'U'}, oid)
	if tag != 0 {
		b = row(b, tag, old...)
	}
	return row(b, 'N', values...)
}

func remove(oid uint32, tag byte, old ...string) []byte {
	return row(be.AppendUint32([]byte{'D'}, oid), tag, old...)
}

func truncate(options byte, oids ...uint32) []byte {
	b := be.AppendUint32([]byte{'T'}, uint32(len(oids)))
	b = append(b, options)
	for _, o := range oids {
		b = be.AppendUint32(b, o)
	}
	return b
}

func people() *wal.Relation {
	return &wal.Relation{OID: 16385, Schema: "public", Name: "people", Identity: 'f', Columns: []wal.RelationColumn{
		{Name: "id", Type: 20, TypMod: -1, Key: true},
		{Name: "name", Type: 25, TypMod: -1},
		{Name: "price", Type: 1700, TypMod: 786438},
	}}
}
