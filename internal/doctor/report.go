package doctor

import (
	"fmt"
	"strings"
)

// Verdict is what a check says.
type Verdict string

// The verdicts.
const (
	OK Verdict = "ok"
	// Warn: it works, but will hurt some day, or for some tables.
	Warn Verdict = "warn"
	// Fail: the service would not run, or not serve what was named.
	Fail Verdict = "fail"
)

// Finding is what one check found.
type Finding struct {
	Group string `json:"group"`
	// Code is a fixed word for programs and documents.
	Code    string  `json:"code"`
	Verdict Verdict `json:"verdict"`
	// Found is one line for people, and so is Remedy, which an ok has none of.
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
	// Objects are all tables, or the like, that it is about.
	Objects []string `json:"objects,omitempty"`
}

// Report is what a preflight found, in the order in which one thing depends on the
// other.
type Report struct {
	Findings []Finding `json:"findings"`
	// NotChecked are groups that were not looked at, since they depend on what failed.
	NotChecked []string `json:"not_checked,omitempty"`
	OK         int      `json:"ok"`
	Warnings   int      `json:"warnings"`
	Failures   int      `json:"failures"`
}

func (r *Report) add(f Finding) {
	f.Found, f.Remedy = oneLine(f.Found), oneLine(f.Remedy)
	r.Findings = append(r.Findings, f)
	switch f.Verdict {
	case OK:
		r.OK++
	case Warn:
		r.Warnings++
	default:
		r.Failures++
	}
}

// group adds findings to one group of a report.
type group struct {
	*Report
	name string
}

func (r *Report) group(name string) group { return group{r, name} }

func (g group) ok(code, format string, args ...any) {
	g.add(Finding{Group: g.name, Code: code, Verdict: OK, Found: fmt.Sprintf(format, args...)})
}

func (g group) warn(code, found, remedy string, objects ...string) {
	g.add(Finding{g.name, code, Warn, found, remedy, objects})
}

func (g group) fail(code, found, remedy string, objects ...string) {
	g.add(Finding{g.name, code, Fail, found, remedy, objects})
}

// oneLine keeps texts of others, errors above all, within a line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// several names the first of many.
func several(names []string) string {
	const most = 4
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// size prints bytes for people.
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.4g %s", f, units[i])
}
