package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var rewrite = flag.Bool("rewrite", false, "write the generated parts of docs/ anew")

const operating = "../../docs/operating.md"

// placeholder is what stands for a value where there is no default: URL, TEXT.
var placeholder = regexp.MustCompile(`^[A-Z]+$`)

// settingsTable is the table of docs/operating.md, made of the flags.
func settingsTable(k *kong.Context) string {
	var b strings.Builder
	b.WriteString("| variable, flag | default | meaning |\n|---|---|---|\n")
	group := ""
	each(k, func(flag *kong.Flag, _ string) {
		if flag.Group != nil && flag.Group.Title != group {
			group = flag.Group.Title
			fmt.Fprintf(&b, "| **%s** | | |\n", group)
		}
		names := "`" + flag.Envs[0] + "`"
		for _, electrics := range flag.Envs[1:] {
			names += ", also `" + electrics + "`"
		}
		standard := "`" + flag.PlaceHolder + "`"
		if placeholder.MatchString(flag.PlaceHolder) {
			standard = "–"
		}
		fmt.Fprintf(&b, "| %s<br>`--%s` | %s | %s |\n", names, flag.Name, standard, strings.ReplaceAll(flag.Help, "<", "&lt;"))
	})
	return b.String()
}

// The table of settings is the one of --help. go test ./cmd/spillway -rewrite
// makes it anew.
func TestDocumentedSettings(t *testing.T) {
	_, k := parsed(t, nil)
	b, err := os.ReadFile(operating)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- settings: made by a test of cmd/spillway -->\n", "<!-- end of settings -->\n"
	before, rest, ok := strings.Cut(string(b), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the settings", operating)
	}
	want := settingsTable(k)
	if have == want {
		return
	}
	if !*rewrite {
		t.Fatalf("%s is out of step with the flags: run go test ./cmd/spillway -rewrite", operating)
	}
	if err := os.WriteFile(operating, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every metric is explained, and every line of the log that is explained exists.
func TestDocumentedMetricsAndLogs(t *testing.T) {
	b, err := os.ReadFile(operating)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	source := code(t)
	for _, m := range regexp.MustCompile(`"(spillway_[a-z_]+)"`).FindAllStringSubmatch(source["admin"], -1) {
		if !strings.Contains(text, "`"+m[1]+"`") {
			t.Errorf("%s does not explain the metric %s", operating, m[1])
		}
	}
	_, section, ok := strings.Cut(text, "## What the log says\n")
	section, _, ok2 := strings.Cut(section, "\n## ")
	if !ok || !ok2 {
		t.Fatalf("%s has no section about the log", operating)
	}
	lines := regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(section, -1)
	if len(lines) == 0 {
		t.Errorf("%s explains no line of the log", operating)
	}
	for _, m := range lines {
		found := false
		for _, text := range source {
			found = found || strings.Contains(text, m[1])
		}
		if !found {
			t.Errorf("%s explains %q, which nobody logs", operating, m[1])
		}
	}
}

// Every target of make that a document names exists, and explains itself.
func TestDocumentedTargets(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("(?m)(?:`|^    |^\\$ )make ([a-z]+)")
	for _, doc := range []string{"README.md", "CONTRIBUTING.md", "docs/operating.md", "docs/ARCHITECTURE.md"} {
		b, err := os.ReadFile("../../" + doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(b), -1) {
			if !regexp.MustCompile("(?m)^" + m[1] + ":.*## ").Match(makefile) {
				t.Errorf("%s names make %s, which is not there", doc, m[1])
			}
		}
	}
}

// code is the source of each room and of this command.
func code(t *testing.T) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for _, root := range []string{"../../internal", "."} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			out[filepath.Base(filepath.Dir(path))] += string(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}
