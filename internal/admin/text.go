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
	if st.Alarm != "" {
		fmt.Fprintf(&b, "alarm: %s; nobody is given up for it\n", line(st.Alarm))
	}
	if a := st.Postgres.Audit; a != "" {
		fmt.Fprintf(&b, "audit: %s\n", line(a))
	}
	b.WriteString("\n")
	if err := positionsText(&b, st); err != nil {
		return err
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\njournal\t%s\n", ofBudget(st.Journal.Bytes, st.Journal.BudgetBytes))
	if h := st.Journal.HeldBy; h != nil {
		fmt.Fprintf(t, "  held by\t%s, from %s on: %s, for %s (%s)\n", orGone(string(h.Handle)), h.From.LSN, humanBytes(h.Bytes), humanTime(seconds(h.Seconds)), h.Reason)
	}
	kept := "not known"
	if r := st.Postgres.RetainedBytes; r != nil {
		kept = ofBudget(*r, st.Postgres.WALBudgetBytes)
	}
	fmt.Fprintf(t, "WAL kept by Postgres\t%s\n", kept)
	if h := st.Postgres.RestartLSNHeldBy; h != "" {
		fmt.Fprintf(t, "  held by\t%s\n", line(h))
	}
	fmt.Fprintf(t, "slot\t%s\n", st.Postgres.Slot)
	if c := st.Postgres.CanarySeconds; c != nil {
		fmt.Fprintf(t, "  canary message\tcame through in %s\n", humanTime(seconds(*c)))
	}
	fmt.Fprintf(t, "storage\t%s, last fsync %.1f ms, canary %.1f ms\n", st.Storage.State, st.Journal.SyncMS, st.Storage.CanaryMS)
	s := st.Shapes
	fmt.Fprintf(t, "shapes\t%d: %d live, %d reading first rows, %d suspect, %d restarting, %d quarantined, %d parked\n",
		s.Total, s.Live, s.Snapshotting, s.Suspect, s.Restarting, s.Quarantined, s.Parked)
	l := st.Ladder
	fmt.Fprintf(t, "since the start\t%d stalls, %d suspects, %d restarts, %d quarantines, %d rebuilds, %d parkings, %d alarms\n",
		st.StallsTotal, l.Suspects, l.Restarts, l.Quarantines, l.Rebuilds, l.Parkings, l.Alarms)
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
			if s.Seconds >= 1 {
				lag += ", " + humanTime(seconds(s.Seconds))
			}
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
	for _, x := range st.Waiting {
		fmt.Fprintf(w, "\nreading first rows: %s for %s, %d rows, %s\n", line(string(x.Handle)), humanTime(seconds(x.Seconds)), x.Rows, line(x.For))
	}
	for _, x := range st.Ill {
		fmt.Fprintf(w, "\n%s: %s, %s: %s\n  since %s, built anew %d times in vain, next try %s\n", x.State, line(string(x.Handle)), x.Reason, line(x.Detail),
			stamp(x.Since), x.Failures, stamp(x.Until))
	}
	for _, s := range st.Stalled {
		fmt.Fprintf(w, "\nstalled: %s, shard %d, at %s: %s\n  no progress for %s, %d queued, strike %d, %s\n", orGone(string(s.Handle)), s.Shard, s.At.LSN,
			line(s.Cause), humanTime(seconds(s.Seconds)), s.Queued, s.Strikes, s.When.UTC().Format(time.DateTime+" UTC"))
	}
	for _, g := range st.Ghosts {
		fmt.Fprintf(w, "\nghost: %s, shard %d, replaced %s ago\n", orGone(string(g.Handle)), g.Shard, humanTime(seconds(g.Seconds)))
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.DateTime + " UTC") }

// WriteLife prints what happened to a shape, one line an event, with the stacks
// that were taken if they are asked for.
func WriteLife(w io.Writer, l engine.Life, evidence bool) error {
	var b strings.Builder
	name := l.Table
	if l.Schema != "public" {
		name = l.Schema + "." + l.Table
	}
	fmt.Fprintf(&b, "%s of %s", line(string(l.Handle)), line(name))
	if l.Where != "" {
		fmt.Fprintf(&b, " where %s", line(l.Where))
	}
	fmt.Fprintf(&b, ": %s", l.State)
	if l.Reason != "" {
		fmt.Fprintf(&b, " (%s)", l.Reason)
	}
	b.WriteString("\n\n")
	for _, e := range l.Events {
		fmt.Fprintf(&b, "%s  %-11s  %s\n", e.At.UTC().Format("2006-01-02 15:04:05.000"), e.What, line(e.Detail))
		if evidence && e.Evidence != "" {
			for s := range strings.SplitSeq(e.Evidence, "\n") {
				fmt.Fprintf(&b, "    %s\n", line(s))
			}
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print a shape's life: %w", err)
	}
	return nil
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
