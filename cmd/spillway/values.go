package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/spillway-sync/spillway/internal/engine"
)

// toggle is the text of a setting whose flag may stand alone: --chaos is
// --chaos=true.
type toggle string

// Decode is called by kong.
func (t *toggle) Decode(ctx *kong.DecodeContext) error {
	*t = "true"
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		*t = toggle(ctx.Scan.Pop().String())
	}
	return nil
}

// IsBool tells kong that no value need follow.
func (toggle) IsBool() bool { return true }

// read parses one setting if it was given.
func read[T any](f *faults, name, text string, to *T, parse func(string) (T, error), want string) {
	if text == "" {
		return
	}
	v, err := parse(text)
	if err != nil {
		f.add("%s: %q is not %s", name, text, want)
		return
	}
	*to = v
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, errors.New("not a boolean")
}

// parseTime reads a duration; a bare number is milliseconds, as Electric has it.
func parseTime(s string) (time.Duration, error) {
	if ms, err := strconv.ParseFloat(s, 64); err == nil {
		// A comparison with NaN is false.
		if ns := ms * float64(time.Millisecond); ns > -1<<62 && ns < 1<<62 {
			return time.Duration(ns), nil
		}
		return 0, errors.New("not a time")
	}
	for _, unit := range [][2]string{{"msec", "ms"}, {"sec", "s"}, {"min", "m"}} {
		if rest, ok := strings.CutSuffix(s, unit[0]); ok {
			s = rest + unit[1]
			break
		}
	}
	return time.ParseDuration(s)
}

func parseSeconds(s string) (time.Duration, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return time.Duration(n) * time.Second, err
}

// parseSize reads a number of bytes with an optional unit.
func parseSize(s string) (int64, error) {
	units := []struct {
		suffix string
		bytes  float64
	}{
		{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
		{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
	}
	factor := 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			s, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n >= 0 && n*factor < 1<<62) { // NaN too
		return 0, errors.New("not a size")
	}
	return int64(n * factor), nil
}

// parseConcurrency reads {"initial":300,"existing":10000}; what is left out has
// its default.
func parseConcurrency(s string) (engine.Concurrency, error) {
	c := engine.DefaultConfig().Concurrency
	d := json.NewDecoder(strings.NewReader(s))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, err
	}
	if d.More() {
		return c, errors.New("more than one object")
	}
	return c, nil
}

func parseLevel(s string) (slog.Level, error) {
	switch strings.ToLower(s) {
	case "error":
		return slog.LevelError, nil
	case "warning", "warn":
		return slog.LevelWarn, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "debug":
		return slog.LevelDebug, nil
	}
	return 0, errors.New("not a level")
}

// same says whether two texts mean the same for a setting of a kind: 20s and
// 20000 are one time.
func same(kind, a, b string) bool {
	if a == b {
		return true
	}
	switch kind {
	case "number":
		return equal(a, b, strconv.Atoi)
	case "bool":
		return equal(a, b, parseBool)
	case "time":
		return equal(a, b, parseTime)
	case "seconds":
		return equal(a, b, parseSeconds)
	case "size":
		return equal(a, b, parseSize)
	case "limits":
		return equal(a, b, parseConcurrency)
	case "level":
		return equal(a, b, parseLevel)
	}
	return false
}

func equal[T comparable](a, b string, parse func(string) (T, error)) bool {
	x, errX := parse(a)
	y, errY := parse(b)
	return errX == nil && errY == nil && x == y
}

// masked is a setting's text as it may be printed.
func masked(kind, text string) string {
	switch kind {
	case "secret":
		return "xxxxx"
	case "url":
		u, err := url.Parse(text)
		if err != nil {
			return "xxxxx"
		}
		q := u.Query()
		for name := range q {
			if strings.Contains(name, "password") {
				q.Set(name, "xxxxx")
			}
		}
		u.RawQuery = q.Encode()
		return u.Redacted()
	}
	return text
}
