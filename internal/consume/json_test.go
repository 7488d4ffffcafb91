package consume

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/spillway-sync/spillway/internal/shape"
	"github.com/spillway-sync/spillway/internal/wal"
)

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", `"`, `\`, "\x00\x1f\x20\x7f\x80", "1234567\"", "12345678\\1234567\n", "é😀\u2028", "\xff\xfe"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		got := appendString([]byte("x"), s)
		if string(appendString([]byte("x"), string(s))) != string(got) {
			t.Fatalf("%q: text and bytes give different strings", s)
		}
		got = got[1:]
		if !json.Valid(got) || !utf8.Valid(got) {
			t.Fatalf("%q: %s is not JSON", s, got)
		}
		if want := dumbString(s); !bytes.Equal(got, want) {
			t.Fatalf("%q: got %s, want %s", s, got, want)
		}
		if !utf8.Valid(s) {
			return
		}
		var back string
		if err := json.Unmarshal(got, &back); err != nil || back != string(s) {
			t.Fatalf("%q came back as %q, %v", s, back, err)
		}
	})
}

// dumbString is appendString without its haste.
func dumbString(s []byte) []byte {
	out := []byte{'"'}
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch c := s[0]; {
		case r == utf8.RuneError && n == 1:
			out = fmt.Appendf(out, `\\%03o`, c)
		case c < 0x20 || c == '"' || c == '\\':
			out = appendEscape(out, c)
		default:
			out = append(out, s[:n]...)
		}
		s = s[n:]
	}
	return append(out, '"')
}

// Each byte is found at each place in a word, beside any neighbour.
func TestStringEscapesEveryByteEverywhere(t *testing.T) {
	for _, around := range []byte{'a', 0, 0x1f, 0x21, 0x5b, 0x5d, 0x7f, 0x80, 0xff} {
		s := bytes.Repeat([]byte{around}, 20)
		for at := range s {
			for c := range 256 {
				s[at] = byte(c)
				if got, want := appendString(nil, s), dumbString(s); !bytes.Equal(got, want) {
					t.Fatalf("%q: got %s, want %s", s, got, want)
				}
			}
			s[at] = around
		}
	}
}

func TestControlMessages(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{string(AppendUpToDate(nil, 33558040)),
			`{"headers":{"control":"up-to-date","global_last_seen_lsn":"33558040"}}`},
		{string(AppendUpToDate(nil, 1<<64-1)),
			`{"headers":{"control":"up-to-date","global_last_seen_lsn":"18446744073709551615"}}`},
		{string(AppendSnapshotEnd(nil, &wal.Snapshot{Xmin: 901, Xmax: 905, Xip: []uint64{903, 1 << 40}})),
			`{"headers":{"control":"snapshot-end","xmin":"901","xmax":"905","xip_list":["903","1099511627776"]}}`},
		{string(AppendSnapshotEnd(nil, &wal.Snapshot{Xmin: 1, Xmax: 1})),
			`{"headers":{"control":"snapshot-end","xmin":"1","xmax":"1","xip_list":[]}}`},
		{string(AppendMustRefetch(nil, "")), `[{"headers":{"control":"must-refetch"}}]`},
		{string(AppendMustRefetch(nil, shape.ReasonTruncate)),
			`[{"headers":{"control":"must-refetch","reason":"truncate"}}]`},
	} {
		if c.got != c.want || !json.Valid([]byte(c.got)) {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}
