package sim

import (
	"encoding/binary"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// The messages of pgoutput, version 1 (Postgres manual, "Logical Replication
// Message Formats").

func appendBegin(b []byte, commit wal.LSN, xid wal.XID) []byte {
	b = append(b, 'B')
	b = binary.BigEndian.AppendUint64(b, uint64(commit))
	b = binary.BigEndian.AppendUint64(b, 0) // time
	return binary.BigEndian.AppendUint32(b, uint32(xid))
}

func appendCommit(b []byte, commit, end wal.LSN) []byte {
	b = append(b, 'C', 0)
	b = binary.BigEndian.AppendUint64(b, uint64(commit))
	b = binary.BigEndian.AppendUint64(b, uint64(end))
	return binary.BigEndian.AppendUint64(b, 0)
}

func appendRelation(b []byte, t *shape.Table) []byte {
	b = append(b, 'R')
	b = binary.BigEndian.AppendUint32(b, t.OID)
	b = append(append(b, t.Schema...), 0)
	b = append(append(b, t.Name...), 0)
	b = append(b, 'f')
	b = binary.BigEndian.AppendUint16(b, uint16(len(t.Columns)))
	for i := range t.Columns {
		c := &t.Columns[i]
		b = append(b, 1) // FULL: every column is part of the identity
		b = append(append(b, c.Name...), 0)
		b = binary.BigEndian.AppendUint32(b, c.Type.OID)
		b = binary.BigEndian.AppendUint32(b, uint32(c.TypMod))
	}
	return b
}

func appendTuple(b []byte, row wal.Tuple) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(row)))
	for _, v := range row {
		if v == nil {
			b = append(b, 'n')
			continue
		}
		b = append(b, 't')
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}

func appendOp(b []byte, o *op) []byte {
	kind := map[wal.Op]byte{wal.Insert: 'I', wal.Update: 'U', wal.Delete: 'D', wal.Truncate: 'T'}[o.kind]
	b = append(b, kind)
	if o.kind == wal.Truncate {
		b = binary.BigEndian.AppendUint32(b, 1)
		b = append(b, 0)
		return binary.BigEndian.AppendUint32(b, o.table.Def.OID)
	}
	b = binary.BigEndian.AppendUint32(b, o.table.Def.OID)
	if o.old != nil {
		b = appendTuple(append(b, 'O'), o.old)
	}
	if o.new != nil {
		b = appendTuple(append(b, 'N'), o.new)
	}
	return b
}
