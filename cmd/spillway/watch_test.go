package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/client"
)

// What the terminal shows, without colours.
func TestPicture(t *testing.T) {
	now := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	first := 0
	schema := client.Schema{"id": {Type: "int4", PKIndex: &first}, "a": {Type: "text"}, "long": {Type: "text"}}
	row := func(id, a string) client.Row {
		return client.Row{"id": client.Text(id), "a": client.Text(a), "long": client.Text(strings.Repeat("x", 100))}
	}
	p := &picture{title: "t", state: "live"}
	p.take(client.Update{Changes: []client.Change{{Key: "1", New: row("1", "one")}, {Key: "2", New: row("2", "\x1b[2J\n")}, {Key: "3", New: client.Row{"id": client.Text("3")}}}}, schema, now)
	p.take(client.Update{Changes: []client.Change{{Key: "1", Old: row("1", "one"), New: row("1", "eins")}, {Key: "2", Old: row("2", "ü")}}}, schema, now.Add(time.Second))
	got := p.draw(40, 5, 1_500_000, now.Add(5*time.Second))
	for _, code := range []string{"\x1b[H", "\x1b[K", "\x1b[J", "\x1b[0m", "\x1b[1m", "\x1b[7m", "\x1b[31m", "\x1b[32m", "\x1b[33m"} {
		got = strings.ReplaceAll(got, code, "")
	}
	want := strings.Join([]string{
		"t  2 rows  0.5 changes/s  1.5 MB  live",
		"  id  a     long                        ",
		"- 2   ü     xxxxxxxxxxxxxxxxxxxxxxxxxxx…",
		"~ 1   eins  xxxxxxxxxxxxxxxxxxxxxxxxxxx…",
		"+ 3   NULL  NULL                        ",
	}, "\r\n")
	lines := strings.Split(got, "\r\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " …")
	}
	wanted := strings.Split(want, "\r\n")
	for i, l := range wanted {
		wanted[i] = strings.TrimRight(l, " …")
	}
	if strings.Join(lines, "\n") != strings.Join(wanted, "\n") {
		t.Errorf("it draws\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(wanted, "\n"))
	}
	if got := p.draw(40, 5, 0, now.Add(time.Minute)); !strings.Contains(got, "0.0 changes/s") {
		t.Errorf("a minute later %q", got)
	}
	if got := clean("a\x1b[2J\n\u202eb"); got != "a·[2J··b" {
		t.Errorf("%q", got)
	}
}

func TestProgressText(t *testing.T) {
	if got := progressText(1_250_000, 98_500_000, 4*time.Second); got != "1,250,000 rows  98.5 MB  24.6 MB/s" {
		t.Error(got)
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 12345678: "12,345,678"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
