package main

import (
	"go/parser"
	"go/token"
	"os/exec"
	"strings"
	"testing"
)

// The service still builds with a delay before each statement, and tells where it is slow.
func TestSlowCopy(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	places, err := slowCopy("../..", tree)
	if err != nil {
		t.Fatal(err)
	}
	if places < 5000 {
		t.Errorf("%d places only", places)
	}
	run := exec.Command("go", "run", "./cmd/spillway", "--help")
	run.Dir, run.Env = tree, append(run.Environ(), "DELAYS_AT=0,7")
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if text := string(out); !strings.Contains(text, "delays: -at 0,7: api/") || !strings.Contains(text, "serve") {
		t.Errorf("it says\n%s", text)
	}
}

func TestStatements(t *testing.T) {
	const text = `package p

func f(c chan int) {
	switch {
	case true:
		one()
	default:
	}
loop:
	for range 2 {
		select {
		case <-c:
			continue loop
		}
	}
	go func() { two() }()
	if true {
		return
	} else if false {
		three()
	}
}
`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, at := range statements(file) {
		line, _, _ := strings.Cut(text[set.Position(at).Offset:], "\n")
		got = append(got, line)
	}
	want := []string{"switch {", "one()", "loop:", "select {", "continue loop", "go func() { two() }()", "two() }()", "if true {", "return", "three()"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q\nwant %q", got, want)
	}
}
