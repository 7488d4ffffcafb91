package inspect

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText prints what lies in a data directory for people.
func WriteText(w io.Writer, r *Report) error {
	var b strings.Builder
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "problem: %s\n", p.text())
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "formats\tjournal %d, catalogue %s\n", r.Journal.Format, cmp.Or(r.Shapes.Format, "not readable"))
	fmt.Fprintf(t, "boundary\t%s\n", cmp.Or(r.Boundary, "none"))
	for _, f := range r.Facts {
		fmt.Fprintf(t, "%s\t%s\n", f.Name, f.Value)
	}
	fmt.Fprintf(t, "\njournal\t%s in %s, from %s to %s\n", size(uint64(r.Journal.Bytes)), count(len(r.Journal.Segments), "file"), cmp.Or(r.Journal.From, "–"), cmp.Or(r.Journal.To, "–"))
	if err := t.Flush(); err != nil {
		return err
	}
	t = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range r.Journal.Segments {
		fmt.Fprintf(t, "  %s\t%s – %s\t%s\t%s%s\n", s.File, s.From, s.To, count(s.Frames, "frame"), size(uint64(s.Bytes)), s.marks())
	}
	s := &r.Shapes
	fmt.Fprintf(t, "\nshapes\t%d live, %d snapshotting, %d quarantined, %d parked; %s\n", s.Live, s.Snapshotting, s.Quarantined, s.Parked, size(s.Bytes))
	if err := t.Flush(); err != nil {
		return err
	}
	t = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, x := range r.Tables {
		fmt.Fprintf(t, "  %s\t%d\n", x.Name, x.Shapes)
	}
	if len(r.Largest) > 0 {
		fmt.Fprintf(t, "\nlargest\n")
	}
	for _, l := range r.Largest {
		fmt.Fprintf(t, "  %s\t%s\tlog %s\trows %s\n", l.Handle, l.Table, size(l.Log), size(uint64(l.Rows)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	r.Removed.write(&b)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print a data directory: %w", err)
	}
	return nil
}

func (p *Problem) text() string {
	if p.File == "" {
		return p.What
	}
	return fmt.Sprintf("%s, byte %d: %s", p.File, p.Offset, p.What)
}

// marks are what is special of a segment.
func (s *Segment) marks() string {
	text := ""
	if s.Open {
		text += ", a transaction is open at its end"
	}
	if s.Torn > 0 {
		text += fmt.Sprintf(", and %d bytes that do not count", s.Torn)
	}
	if s.Sealed {
		text += ", closed in order"
	}
	return text
}

func (r *Removed) write(b *strings.Builder) {
	var counts []string
	for _, reason := range slices.Sorted(maps.Keys(r.Reasons)) {
		counts = append(counts, fmt.Sprintf("%d %s", r.Reasons[reason], reason))
	}
	fmt.Fprintf(b, "\nremoved  %d are remembered", r.Count)
	if len(counts) > 0 {
		fmt.Fprintf(b, ": %s", strings.Join(counts, ", "))
	}
	b.WriteString("\n")
	for _, g := range r.Newest {
		fmt.Fprintf(b, "  %s\n", g.text())
	}
}

func (g *Gone) text() string {
	text := fmt.Sprintf("%s  %s  %s  %s", time.UnixMicro(g.At).UTC().Format(time.RFC3339), g.Handle, g.Reason, g.Table)
	if g.Where != "" {
		text += " where " + g.Where
	}
	return text
}

// WriteShape prints one shape for people.
func WriteShape(w io.Writer, s *Shape) error {
	if s.Removed != nil {
		_, err := fmt.Fprintf(w, "removed  %s\n", s.Removed.text())
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "shape\t%s, number %d\n", s.Handle, s.ID)
	fmt.Fprintf(t, "definition\t%s\n", s.definition())
	state := s.State
	if s.Reason != "" {
		state += ": " + s.Reason
	}
	if s.HeirOf != 0 {
		state += fmt.Sprintf(", to take the place of number %d", s.HeirOf)
	}
	fmt.Fprintf(t, "state\t%s\n", state)
	fmt.Fprintf(t, "created\t%s, in the stream from %s on\n", s.Created.UTC().Format(time.RFC3339), s.Start)
	if n := s.Snapshot; n != nil {
		where := "files"
		if n.Inline {
			where = "the catalogue"
		}
		total := int64(0)
		for _, c := range n.Chunks {
			total += c
		}
		fmt.Fprintf(t, "first rows\t%s in %s, in %s; seen: xmin %d, xmax %d, in progress %d, until %s\n", size(uint64(total)), count(len(n.Chunks), "chunk"), where, n.Xmin, n.Xmax, len(n.Xip), n.Until)
	}
	if c := s.Cursor; c != nil {
		fmt.Fprintf(t, "cursor\tposition %s, tail %s, epoch %d\n", c.Position, c.Tail, c.Epoch)
	}
	fmt.Fprintf(t, "log\t%s in %s and an open one; %s on disk\n", plural(s.Entries, "entry", "entries"), count(len(s.Ends), "full chunk"), size(s.LogBytes))
	return t.Flush()
}

// count prints a number of things.
func count(n int, thing string) string { return plural(n, thing, thing+"s") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// size prints bytes for people.
func size(n uint64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.4g %s", f, units[i])
}
