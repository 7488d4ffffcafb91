package admin

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spillway-sync/spillway/internal/engine"
)

// WriteText prints a status for people in a terminal.
func WriteText(w io.Writer, st engine.Status) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", st.Health)
	if st.Reason != "" {
		fmt.Fprintf(&b, ": %s", line(st.Reason))
	}
	b.WriteString("\n")
	if e := st.Postgres.LastError; e != "" {
		fmt.Fprintf(&b, "last error: %s\n", line(e))
	}
	b.WriteString("\n")
	if err := positionsText(&b, st); err != nil {
		return err
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\njournal\t%s\n", ofBudget(st.Journal.Bytes, st.Journal.BudgetBytes))
	if h := st.Journal.HeldBy; h != nil {
		fmt.Fprintf(t, "  held by\t%s, from %s on: %s\n", orGone(string(h.Handle)), h.From.LSN, humanBytes(h.Bytes))
	}
	kept := "not known"
	if r := st.Postgres.RetainedBytes; r != nil {
		kept = ofBudget(*r, st.Postgres.WALBudgetBytes)
	}
	fmt.Fprintf(t, "WAL kept by Postgres\t%s\n", kept)
	fmt.Fprintf(t, "slot\t%s\n", st.Postgres.Slot)
	fmt.Fprintf(t, "storage\t%s, last fsync %.1f ms\n", st.Storage.State, st.Journal.SyncMS)
	fmt.Fprintf(t, "shapes\t%d: %d live, %d reading first rows\n", st.Shapes.Total, st.Shapes.Live, st.Shapes.Snapshotting)
	fmt.Fprintf(t, "stalls\t%d since the start\n", st.StallsTotal)
	fmt.Fprintf(t, "ghosts\t%d\n", len(st.Ghosts))
	if err := t.Flush(); err != nil {
		return fmt.Errorf("lay out the status: %w", err)
	}
	troubleText(&b, st)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	return nil
}

func positionsText(w io.Writer, st engine.Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range steps(st) {
		at, lag := s.At.String(), "in step"
		switch {
		case !s.Known:
			at, lag = "-", s.Absent
		case s.First:
			lag = ""
		case s.Lag > 0:
			lag = humanBytes(s.Lag) + " behind"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", s.Name, at, lag, s.Means)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("lay out the positions: %w", err)
	}
	return nil
}

// troubleText lists what stands still. Stacks are for the page and for --json.
func troubleText(w io.Writer, st engine.Status) {
	for _, s := range st.Stalled {
		fmt.Fprintf(w, "\nstalled: %s, shard %d, at %s: %s\n  no progress for %s, %d queued, strike %d, %s\n", orGone(string(s.Handle)), s.Shard, s.At.LSN,
			line(s.Cause), humanTime(seconds(s.Seconds)), s.Queued, s.Strikes, s.When.UTC().Format(time.DateTime+" UTC"))
	}
	for _, g := range st.Ghosts {
		fmt.Fprintf(w, "\nghost: %s, shard %d, replaced %s ago\n", orGone(string(g.Handle)), g.Shard, humanTime(seconds(g.Seconds)))
	}
}

func ofBudget(used, budget int64) string {
	if budget <= 0 {
		return humanBytes(used) + ", no budget set"
	}
	return fmt.Sprintf("%s of %s (%s)", humanBytes(used), humanBytes(budget), percent(used, budget))
}

func orGone(handle string) string {
	if handle == "" {
		return "a shape that is gone"
	}
	return line(handle)
}

// line keeps what others wrote from moving a terminal's cursor.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}
