package doctor

import (
	"fmt"
	"io"
	"strings"
)

// colours of a terminal, by verdict (ECMA-48, SGR).
var colours = map[Verdict]string{OK: "\x1b[32m", Warn: "\x1b[33m", Fail: "\x1b[1;31m"}

// WriteText prints a report for people.
func WriteText(w io.Writer, r *Report, colour bool) error {
	width := 0
	for _, f := range r.Findings {
		width = max(width, len(f.Code))
	}
	var b strings.Builder
	group := ""
	for _, f := range r.Findings {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "%s\n", group)
		}
		verdict := fmt.Sprintf("%-4s", f.Verdict)
		if colour {
			verdict = colours[f.Verdict] + verdict + "\x1b[0m"
		}
		fmt.Fprintf(&b, "  %s  %-*s  %s\n", verdict, width, f.Code, f.Found)
		if f.Remedy != "" {
			fmt.Fprintf(&b, "  %*s→ %s\n", width+8, "", f.Remedy)
		}
	}
	if len(r.NotChecked) > 0 {
		fmt.Fprintf(&b, "\nnot looked at: %s\n", strings.Join(r.NotChecked, ", "))
	}
	fmt.Fprintf(&b, "\n%d failed, %d warned, %d ok\n", r.Failures, r.Warnings, r.OK)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print what was found: %w", err)
	}
	return nil
}
