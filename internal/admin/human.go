package admin

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// humanBytes prints a size for people: three digits that count, and the unit.
func humanBytes(n int64) string {
	if n < 0 {
		return "-" + humanBytes(-n)
	}
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n)/1024, 0
	const units = "KMGTPE"
	// 1023.9996 KiB would be printed as 1024 KiB.
	for ; v >= 1023.95; unit++ {
		v /= 1024
	}
	digits := 1
	if v >= 100 {
		digits = 0
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', digits, 64), ".0") + " " + units[unit:unit+1] + "iB"
}

// exact prints all digits, in groups of three.
func exact(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

func exactBytes(n int64) string { return exact(n) + " bytes" }

// humanTime prints a span for people: its greatest unit, and the next where
// that says something.
func humanTime(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour && d%time.Minute < time.Second:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// percent of a budget, "" where there is none.
func percent(used, budget int64) string {
	if budget <= 0 {
		return ""
	}
	p := 100 * float64(used) / float64(budget)
	switch {
	case used > 0 && p < 0.1:
		return "under 0.1 %"
	case p < 10:
		return strings.TrimSuffix(strconv.FormatFloat(p, 'f', 1, 64), ".0") + " %"
	}
	return strconv.FormatFloat(p, 'f', 0, 64) + " %"
}
