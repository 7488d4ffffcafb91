package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/spillway-sync/spillway/client"
)

const (
	// frame is how often the picture is drawn at the most.
	frame = 100 * time.Millisecond
	// rateTime is what the rate of changes is averaged over.
	rateTime = 10 * time.Second
	// widest is the most a column gets, in characters.
	widest = 40
	// kept is how many rows the picture remembers: no terminal has more lines.
	kept = 1000
)

// picture is what the live table shows: the rows that changed last.
type picture struct {
	mu      sync.Mutex // guards what follows; held for a moment
	title   string
	columns []string
	rows    int64
	lines   []line      // the newest first
	times   []time.Time // of changes within rateTime
	state   string
}

// line is a row and what happened to it last.
type line struct {
	key  string
	sign string     // + ~ -
	row  client.Row // before it went, for -
}

// watch draws a shape on the terminal until ctx ends.
func watch(ctx context.Context, o client.Options, traffic *counter) error {
	p := &picture{title: cmp.Or(o.Table, "shape"), state: "syncing"}
	if o.Where != "" {
		p.title += " where " + o.Where
	}
	o.OnRetry = func(err error, _ time.Duration) { p.say("trying again: " + err.Error()) }
	stream, err := client.NewShapeStream(o)
	if err != nil {
		return configError{err}
	}
	shape := client.NewShape(stream)
	shape.Subscribe(func(u client.Update) { p.take(u, shape.Schema(), time.Now()) })
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { ended <- shape.Run(ctx) })

	fmt.Print("\x1b[?1049h\x1b[?25l") // another screen, no cursor
	defer fmt.Print("\x1b[?25h\x1b[?1049l")
	tick := time.NewTicker(frame)
	defer tick.Stop()
	last := ""
	for {
		changed := shape.Changed()
		width, height, _ := terminalSize(os.Stdout)
		if s := p.draw(width, height, traffic.bytes.Load(), time.Now()); s != last {
			fmt.Print(s)
			last = s
		}
		select {
		case err := <-ended:
			return err
		case <-tick.C:
		case <-changed:
			p.say("live")
			<-tick.C
		}
	}
}

func (p *picture) say(state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = state
}

// take notes what happened.
func (p *picture) take(u client.Update, schema client.Schema, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if schema != nil {
		p.columns = columnsOf(schema)
	}
	news := make([]line, 0, min(len(u.Changes), kept))
	for i, c := range u.Changes {
		switch {
		case c.Old == nil:
			p.rows++
		case c.New == nil:
			p.rows--
		}
		if i < len(u.Changes)-kept {
			continue
		}
		l := line{key: c.Key, sign: "~", row: c.New}
		if c.Old == nil {
			l.sign = "+"
		} else if c.New == nil {
			l.sign, l.row = "-", c.Old
		}
		news = append(news, l)
		p.times = append(p.times, now)
	}
	slices.Reverse(news)
	seen := make(map[string]bool, len(news))
	for _, l := range news {
		seen[l.key] = true
	}
	p.lines = append(news, slices.DeleteFunc(p.lines, func(l line) bool { return seen[l.key] })...)
	p.lines = p.lines[:min(len(p.lines), kept)]
}

// columnsOf puts the primary key first, then the others by name.
func columnsOf(schema client.Schema) []string {
	place := func(name string) int {
		if i := schema[name].PKIndex; i != nil {
			return *i
		}
		return len(schema)
	}
	return slices.SortedFunc(maps.Keys(schema), func(a, b string) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b))
	})
}

// draw is the whole screen, for a terminal of that size.
func (p *picture) draw(width, height int, bytes int64, now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.times = slices.DeleteFunc(p.times, func(t time.Time) bool { return now.Sub(t) > rateTime })
	rate := float64(len(p.times)) / rateTime.Seconds()
	var b strings.Builder
	b.WriteString("\x1b[H")
	put := func(text, style string) {
		fmt.Fprintf(&b, "%s%s\x1b[0m\x1b[K", style, cut(text, width))
	}
	put(fmt.Sprintf("%s  %s rows  %.1f changes/s  %.1f MB  %s", clean(p.title), grouped(p.rows), rate, float64(bytes)/1e6, clean(p.state)), "\x1b[7m")
	lines := p.lines[:min(len(p.lines), max(height-2, 0))]
	widths := make([]int, len(p.columns))
	for i, c := range p.columns {
		widths[i] = len([]rune(c))
		for _, l := range lines {
			widths[i] = min(max(widths[i], len([]rune(clean(l.row[c].String())))), widest)
		}
	}
	heading := "  "
	for i, c := range p.columns {
		heading += cell(clean(c), widths[i])
	}
	b.WriteString("\r\n")
	put(heading, "\x1b[1m")
	for _, l := range lines {
		text := l.sign + " "
		for i, c := range p.columns {
			text += cell(clean(l.row[c].String()), widths[i])
		}
		b.WriteString("\r\n")
		put(text, map[string]string{"+": "\x1b[32m", "~": "\x1b[33m", "-": "\x1b[31m"}[l.sign])
	}
	b.WriteString("\x1b[J")
	return b.String()
}

// cell pads or cuts a text to a width, with two spaces behind.
func cell(text string, width int) string {
	text = cut(text, width)
	return text + strings.Repeat(" ", width-len([]rune(text))+2)
}

func cut(text string, width int) string {
	r := []rune(text)
	if len(r) <= width {
		return text
	}
	return string(r[:max(width-1, 0)]) + "…"
}

// clean replaces what would move the cursor or worse: the text is somebody
// else's.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, text)
}
