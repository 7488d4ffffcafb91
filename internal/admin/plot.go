package admin

import (
	"strconv"
	"strings"
	"time"
)

// The plots' drawing area. The page stretches it; lines keep their width.
const (
	plotWidth  = 900
	plotHeight = 160
)

// scale is a plot's axis of time. A column is fixed in time, so that a line does
// not tremble as it moves on; there are 300 at the most.
type scale struct{ span, column time.Duration }

// scales are what is chosen from: a service that has just begun has a minute to
// show, not a quarter of an hour.
var scales = []scale{{time.Minute, time.Second}, {5 * time.Minute, time.Second}, {plotSpan, 3 * time.Second}}

func scaleFor(all []moment, now time.Time) scale {
	for _, s := range scales {
		if len(all) == 0 || now.Sub(all[0].at) < s.span {
			return s
		}
	}
	return scales[len(scales)-1]
}

// plot is one figure over time, drawn.
type plot struct {
	ID, Title string
	Now       string // the newest figure for people
	Exact     string
	Budget    string // what may be used, "" if nothing says so
	Used      string // of the budget
	Tone      string
	Meter     int     // use of the budget, 0 to 100
	Line      string  // SVG path of the figure
	Area      string  // SVG path of what is below it
	BudgetY   float64 // where the budget's line is; 0: above the drawing
	Top       string  // what the upper edge stands for
	From      string  // how long ago the left edge is
}

// newPlot draws a figure. value returns a negative number where it is not known.
func newPlot(id, title string, all []moment, now time.Time, value func(moment) int64, budget int64) plot {
	axis := scaleFor(all, now)
	p := plot{ID: id, Title: title, Now: "not known", From: humanTime(axis.span)}
	points := axis.columns(all, now, value)
	most := int64(0)
	for _, v := range points {
		most = max(most, v)
	}
	if most > budget/3 {
		most = max(most, budget) // near enough for its line to be in the picture
	}
	top := roundUp(most + most/8)
	p.Top = humanBytes(top)
	p.Line, p.Area = draw(points, top)
	latest := int64(-1)
	if len(all) > 0 {
		latest = value(all[len(all)-1])
	}
	if latest >= 0 {
		p.Now, p.Exact = humanBytes(latest), exactBytes(latest)
	}
	p.Tone = tone(latest, budget)
	if budget > 0 {
		p.Budget = humanBytes(budget)
		p.Used = percent(max(latest, 0), budget)
		p.Meter = int(min(100, 100*max(latest, 0)/budget))
		if budget <= top {
			p.BudgetY = plotHeight * (1 - float64(budget)/float64(top))
		}
	}
	return p
}

// columns takes the greatest value of each column, -1 where there is none. The
// last column is that of now.
func (a scale) columns(all []moment, now time.Time, value func(moment) int64) []int64 {
	n := int(a.span / a.column)
	points := make([]int64, n)
	for i := range points {
		points[i] = -1
	}
	last := now.UnixNano() / int64(a.column)
	for _, s := range all {
		i := n - 1 - int(last-s.at.UnixNano()/int64(a.column))
		if i >= 0 && i < n {
			points[i] = max(points[i], value(s))
		}
	}
	return points
}

// draw makes the paths; a gap in what is known is a gap in the line.
func draw(points []int64, top int64) (line, area string) {
	var l, a strings.Builder
	x := func(i int) string {
		return strconv.FormatFloat(plotWidth*float64(i)/float64(len(points)-1), 'f', 1, 64)
	}
	open := false
	for i, v := range points {
		if v < 0 {
			if open {
				a.WriteString("L" + x(i-1) + "," + strconv.Itoa(plotHeight) + "Z")
			}
			open = false
			continue
		}
		at := x(i) + "," + strconv.FormatFloat(plotHeight*(1-float64(v)/float64(top)), 'f', 1, 64)
		if !open {
			l.WriteString("M" + at)
			a.WriteString("M" + x(i) + "," + strconv.Itoa(plotHeight))
		}
		l.WriteString("L" + at)
		a.WriteString("L" + at)
		open = true
	}
	if open {
		a.WriteString("L" + x(len(points)-1) + "," + strconv.Itoa(plotHeight) + "Z")
	}
	return l.String(), a.String()
}

// roundUp returns the next number of bytes that is good to read on an axis.
func roundUp(n int64) int64 {
	for top := int64(4 << 10); ; top *= 2 {
		if n <= top {
			return top
		}
		if half := top + top/2; n <= half {
			return half
		}
		if top >= 1<<61 {
			return n
		}
	}
}
