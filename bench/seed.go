package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spillway-sync/spillway/internal/consume"
	"github.com/spillway-sync/spillway/internal/expr"
	"github.com/spillway-sync/spillway/internal/registry"
	"github.com/spillway-sync/spillway/internal/shapelog"
)

// seed writes shapes of a kind into the data directory of a service that does not
// run: those from one number up to k.shapes, as if clients had asked for them when the
// others of its table were made, and the table was empty. A million by requests take
// half an hour.
func (r *run) seed(name string, k *kind, from int) (err error) {
	dir := filepath.Join(r.dir, name)
	log, err := shapelog.Open(shapelog.Options{FS: vfs.Default, Dir: filepath.Join(dir, "shapes")})
	if err != nil {
		return err
	}
	reg, err := registry.Open(registry.Options{FS: vfs.Default, Dir: filepath.Join(dir, "catalogue"), Log: log})
	if err != nil {
		return errors.Join(err, log.Close())
	}
	defer func() { err = errors.Join(err, reg.Close(), log.Close()) }()
	var like *registry.Shape
	for s := range reg.All() {
		if s.Def().Table.Name == k.table() {
			like = s
		}
	}
	if like == nil {
		return fmt.Errorf("no shape on %s to make others like it", k.table())
	}
	return each(k.shapes-from, func(n int) error { return sow(reg, log, like, fmt.Sprintf(k.where, from+n)) })
}

// chunkBytes is larger than what a shape without rows has.
const chunkBytes = 1 << 20

// sow makes one live shape without rows, which differs from another in its clause.
func sow(reg *registry.Registry, log *shapelog.Log, like *registry.Shape, where string) error {
	def := *like.Def()
	cols := make([]expr.Column, len(def.Table.Columns))
	for i := range cols {
		cols[i] = def.Table.Columns[i].Column
	}
	var err error
	if def.Where, err = expr.Compile(where, nil, cols); err != nil {
		return err
	}
	s, _, err := reg.Create(&def, like.Start())
	if err != nil {
		return err
	}
	sees := *like.Sees()
	snap := log.NewSnapshot(s.ID(), chunkBytes)
	if err := s.SetSnapshot(sees, snap); err != nil {
		return err
	}
	if err := snap.Finish(consume.AppendSnapshotEnd(nil, &sees)); err != nil {
		return err
	}
	return s.SnapshotComplete()
}
