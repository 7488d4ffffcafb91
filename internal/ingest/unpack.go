package ingest

import (
	"fmt"

	"github.com/spillway-sync/spillway/internal/pgoutput"
	"github.com/spillway-sync/spillway/internal/wal"
)

// receiver is told what frames contain, transaction by transaction.
type receiver interface {
	relation(tx *wal.Txn, rel *wal.Relation)
	change(tx *wal.Txn, ch wal.Change)
	// commit is called with the transaction's End set.
	commit(tx *wal.Txn)
	// abort: the open transaction will come again from its beginning.
	abort()
}

// unpacker turns frames into changes. It leaves out transactions that were seen
// before: Postgres sends again what was not acknowledged, and a journal reader
// begins at a segment's start.
type unpacker struct {
	dec  pgoutput.Decoder
	pos  wal.LSN  // see package wal: transactions with Commit below it are left out
	tx   *wal.Txn // the open transaction, nil if none or if it is left out
	stop wal.LSN  // transactions with Commit at or above it end the reading; 0: none do
	done bool     // the reading came to stop
}

func (u *unpacker) feed(f wal.Frame, to receiver) error {
	if f.Kind == wal.FrameReset {
		u.dec.Reset()
		if u.tx != nil {
			u.tx = nil
			to.abort()
		}
	}
	data := f.Data
	if len(data) == 0 {
		data = f.Preamble
	}
	for msg := range wal.Messages(data) {
		ev, err := u.dec.Decode(msg)
		if err != nil {
			return fmt.Errorf("decode the stream after %s: %w", u.pos, err)
		}
		u.event(&ev, to)
		if u.done {
			return nil
		}
	}
	if f.Position > u.pos && u.tx == nil && !f.Open {
		u.pos = f.Position
	}
	if u.stop != 0 && u.pos >= u.stop && u.tx == nil {
		u.done = true
	}
	return nil
}

func (u *unpacker) event(ev *pgoutput.Event, to receiver) {
	switch ev.Kind {
	case pgoutput.Relation:
		if u.tx != nil {
			to.relation(u.tx, ev.Rel)
		}
	case pgoutput.Begin:
		switch {
		case ev.Txn.Commit < u.pos:
			u.tx = nil
		case u.stop != 0 && ev.Txn.Commit >= u.stop:
			u.done = true
		default:
			u.tx = &wal.Txn{Commit: ev.Txn.Commit, XID: ev.Txn.XID}
		}
	case pgoutput.Change:
		if u.tx != nil {
			to.change(u.tx, ev.Change)
		}
	case pgoutput.Truncate:
		if u.tx != nil {
			for _, ch := range ev.Truncated {
				to.change(u.tx, ch)
			}
		}
	case pgoutput.Commit:
		if u.tx != nil {
			tx := *u.tx
			tx.End = ev.Txn.End
			u.tx = nil
			u.pos = max(u.pos, tx.End)
			to.commit(&tx)
		}
	}
}
