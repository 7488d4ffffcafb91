package registry

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

// What the catalogue stores, as JSON. The field names are the format
// (docs/format.md): they are spelled out here so that a renamed Go field does
// not change it.

// tableRecord is one version of a table. Shapes point to it by number: a
// million shapes on one table store it once.
type tableRecord struct {
	OID        uint32         `json:"oid"`
	Schema     string         `json:"schema"`
	Name       string         `json:"name"`
	Kind       byte           `json:"kind"`
	Identity   byte           `json:"identity"`
	Columns    []columnRecord `json:"columns"`
	PK         []int          `json:"pk,omitempty"`
	Deferrable bool           `json:"deferrable,omitempty"`
	Files      int64          `json:"files,omitempty"`
}

type columnRecord struct {
	Name          string     `json:"name"`
	Type          typeRecord `json:"type"`
	Bytewise      bool       `json:"bytewise,omitempty"`
	Deterministic bool       `json:"deterministic,omitempty"`
	Case          uint8      `json:"case,omitempty"`
	Num           int16      `json:"num"`
	TypMod        int32      `json:"typmod"`
	NotNull       bool       `json:"not_null,omitempty"`
	Generated     byte       `json:"generated,omitempty"`
	Dims          int        `json:"dims,omitempty"`
	SchemaType    string     `json:"schema_type"`
	Parts         []string   `json:"parts,omitempty"`
	Xmin          uint32     `json:"xmin,omitempty"`
}

type typeRecord struct {
	OID   uint32   `json:"oid"`
	Name  string   `json:"name"`
	Base  uint32   `json:"base"`
	Array bool     `json:"array,omitempty"`
	Row   bool     `json:"row,omitempty"`
	Enum  []string `json:"enum,omitempty"`
	// Elem is of an array of an enum.
	Elem *typeRecord `json:"elem,omitempty"`
}

func recordType(t *expr.Type) typeRecord {
	r := typeRecord{OID: t.OID, Name: t.Name, Base: t.Base, Array: t.Array, Row: t.Row, Enum: t.Enum}
	if t.Elem != nil {
		elem := recordType(t.Elem)
		r.Elem = &elem
	}
	return r
}

func (r *typeRecord) typ() expr.Type {
	t := expr.Type{OID: r.OID, Name: r.Name, Base: r.Base, Array: r.Array, Row: r.Row, Enum: r.Enum}
	if r.Elem != nil {
		elem := r.Elem.typ()
		t.Elem = &elem
	}
	return t
}

// shapeRecord is written when a shape is created and never changed.
type shapeRecord struct {
	Handle     shape.Handle  `json:"handle"`
	Table      uint64        `json:"table"` // number of a tableRecord
	Where      string        `json:"where,omitempty"`
	Zones      []string      `json:"zones,omitempty"` // sums of zoneRecords
	Columns    []int         `json:"columns"`         // positions in the table's columns
	AllColumns bool          `json:"all_columns,omitempty"`
	Replica    shape.Replica `json:"replica,omitempty"`
	Log        shape.LogMode `json:"log,omitempty"`
	Start      wal.LSN       `json:"start"`
	Created    int64         `json:"created"` // µs since 1970
	// HeirOf is the shape whose place it takes, Failures how many were built in
	// vain before.
	HeirOf   shape.ID `json:"heir_of,omitempty"`
	Failures int      `json:"failures,omitempty"`
}

// illRecord says that a live shape is out of the stream.
type illRecord struct {
	Reason   shape.Reason `json:"reason"`
	Detail   string       `json:"detail,omitempty"`
	Since    int64        `json:"since"` // µs since 1970, as is Until
	Failures int          `json:"failures,omitempty"`
	Until    int64        `json:"until,omitempty"`
	Parked   bool         `json:"parked,omitempty"`
}

func recordIllness(ill *Illness, parked bool) illRecord {
	r := illRecord{Reason: ill.Reason, Detail: ill.Detail, Since: ill.Since.UnixMicro(), Failures: ill.Failures, Parked: parked}
	if !ill.Until.IsZero() {
		r.Until = ill.Until.UnixMicro()
	}
	return r
}

func (r *illRecord) illness() Illness {
	ill := Illness{Reason: r.Reason, Detail: r.Detail, Since: time.UnixMicro(r.Since), Failures: r.Failures}
	if r.Until != 0 {
		ill.Until = time.UnixMicro(r.Until)
	}
	return ill
}

// liveRecord is written when the first rows are durable: a shape is live if it
// has both records. Were they one, a removal and a completion that meet could
// bring a removed shape back.
type liveRecord struct {
	Xmin   uint64   `json:"xmin"`
	Xmax   uint64   `json:"xmax"`
	Xip    []uint64 `json:"xip,omitempty"`
	Until  wal.LSN  `json:"until"`
	Chunks int      `json:"chunks,omitempty"` // 0: the rows are in the catalogue
}

// Tombstone is what remains of a removed shape.
type Tombstone struct {
	ID      shape.ID     `json:"id"`
	Handle  shape.Handle `json:"handle"`
	Schema  string       `json:"schema"` // the table's
	Table   string       `json:"table"`
	Where   string       `json:"where,omitempty"`
	Reason  shape.Reason `json:"reason"`
	Created int64        `json:"created"` // µs since 1970
	Removed int64        `json:"removed"` // µs since 1970
}

func recordTable(t *shape.Table) tableRecord {
	r := tableRecord{
		OID: t.OID, Schema: t.Schema, Name: t.Name,
		Kind: t.Kind, Identity: t.Identity, PK: t.PK, Deferrable: t.Deferrable, Files: t.Files,
		Columns: make([]columnRecord, len(t.Columns)),
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		r.Columns[i] = columnRecord{
			Name:     c.Name,
			Type:     recordType(&c.Type),
			Bytewise: c.Bytewise, Deterministic: c.Deterministic, Case: uint8(c.Case),
			Num: c.Num, TypMod: c.TypMod, NotNull: c.NotNull,
			Generated: c.Generated, Dims: c.Dims, SchemaType: c.SchemaType, Parts: c.Parts, Xmin: c.Xmin,
		}
	}
	return r
}

func (r *tableRecord) table() *shape.Table {
	t := &shape.Table{
		OID: r.OID, Schema: r.Schema, Name: r.Name,
		Kind: r.Kind, Identity: r.Identity, PK: r.PK, Deferrable: r.Deferrable, Files: r.Files,
		Columns: make([]shape.Column, len(r.Columns)),
	}
	for i := range r.Columns {
		c := &r.Columns[i]
		t.Columns[i] = shape.Column{
			Column: expr.Column{
				Name:     c.Name,
				Type:     c.Type.typ(),
				Bytewise: c.Bytewise, Deterministic: c.Deterministic, Case: expr.Case(c.Case),
			},
			Num: c.Num, TypMod: c.TypMod, NotNull: c.NotNull,
			Generated: c.Generated, Dims: c.Dims, SchemaType: c.SchemaType, Parts: c.Parts, Xmin: c.Xmin,
		}
	}
	return t
}

func recordShape(s *Shape, table uint64) shapeRecord {
	r := shapeRecord{
		Handle: s.Handle(), Table: table,
		Columns: s.def.Columns, AllColumns: s.def.AllColumns,
		Replica: s.def.Replica, Log: s.def.Log,
		Start: s.start, Created: s.created,
		HeirOf: s.heirOf, Failures: s.Failures(),
	}
	if s.def.Where != nil {
		r.Where = s.def.Where.SQL()
		for _, z := range s.def.Where.Zones() {
			r.Zones = append(r.Zones, zoneSum(z))
		}
	}
	return r
}

func encode(what string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	return b, nil
}

func decode(what string, b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("catalogue: read %s: %w", what, err)
	}
	return nil
}
