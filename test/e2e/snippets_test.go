package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spillway-sync/spillway/internal/chromium"
	"github.com/spillway-sync/spillway/internal/demo"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

// snippets are the programs of docs/clients.md by language, in their order, for
// a service at base.
func snippets(t *testing.T, base string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]string)
	for _, m := range regexp.MustCompile("(?s)```([a-z]*)\n(.*?)```\n").FindAllStringSubmatch(string(text), -1) {
		found[m[1]] = append(found[m[1]], strings.ReplaceAll(m[2], "http://127.0.0.1:3000", base))
	}
	return found
}

// The versions that docs/clients.md names are those that are tested.
func TestClientVersions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../clients/package.json")
	if err != nil {
		t.Fatal(err)
	}
	var tested struct{ Dependencies map[string]string }
	if err := json.Unmarshal(text, &tested); err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("(?m)^\\| `(@[^`]+)` (\\S+) \\|").FindAllStringSubmatch(string(page), -1)
	if len(named) != 3 {
		t.Errorf("the page names %d packages", len(named))
	}
	for _, m := range named {
		if tested.Dependencies[m[1]] != m[2] {
			t.Errorf("%s: the page says %s, tested is %q", m[1], m[2], tested.Dependencies[m[1]])
		}
	}
}

// demoService serves the tables that the documentation speaks of.
func demoService(t *testing.T) (*pgtest.DB, string) {
	t.Helper()
	db := pgtest.New(t)
	if err := demo.Fill(t.Context(), db.URL); err != nil {
		t.Fatal(err)
	}
	return db, strings.TrimSuffix(newService(t, db.URL).url, "/v1/shape")
}

// program is another program than ours.
func program(t *testing.T, name string, args ...string) *process {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not in PATH (see scripts/): %v", name, err)
	}
	p := command(t, nil)
	p.cmd.Path, p.cmd.Args, p.cmd.Err = path, append([]string{name}, args...), nil
	return p
}

// Every program of docs/clients.md does what it is there for. The one that needs
// a browser is run by TestBrowser.
func TestClientSnippets(t *testing.T) {
	t.Parallel()
	db, base := demoService(t)
	code := snippets(t, base)
	count := make(map[string]int)
	for language, all := range code {
		count[language] = len(all)
	}
	if want := map[string]int{"": 1, "go": 1, "sh": 2, "ts": 2, "tsx": 1}; !maps.Equal(count, want) {
		t.Fatalf("the page has %v, the test knows %v", count, want)
	}
	typecheck(t, slices.Concat(code["ts"], code["tsx"]))
	tailSnippet(t, base, code[""][0])

	first, err := exec.Command("sh", "-c", code["sh"][0]).Output()
	if err != nil || !strings.HasPrefix(string(first), "HTTP/1.1 200 OK\r\n") {
		t.Errorf("curl: %v\n%.300s", err, first)
	}
	contains(t, string(first), `"title":"Inspect gate 300"`, "snapshot-end")
	// Those that go on hear of an issue that comes.
	live := map[string]*process{
		"curl":        program(t, "sh", "-c", code["sh"][1]).start(),
		"Go":          goSnippet(t, code["go"][0]).start(),
		"TypeScript":  nodeSnippet(t, code["ts"][0]).start(),
		"TanStack DB": nodeSnippet(t, code["ts"][1]).start(),
	}
	live["Go"].said(`(Inspect gate 3)\b`)
	live["TypeScript"].said(`^(300) rows$`)
	live["TanStack DB"].said(`^(300) issues$`)
	// The loop of curl says nothing until something happens.
	insert := func() { db.Exec("INSERT INTO issues (project_id, title) VALUES (1, 'Mend the sluice')") }
	insert()
	live["Go"].said(`(Mend the sluice)`)
	live["TypeScript"].said(`^(301) rows$`)
	live["TanStack DB"].said(`^(insert) Mend the sluice$`)
	live["curl"].said(`(up-to-date)`)
	insert()
	live["curl"].said(`"title":"(Mend the sluice)"`)
}

// withModules is a new directory from which the packages of npm are found.
func withModules(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	modules, err := filepath.Abs("../clients/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// typecheck compiles what is written in TypeScript, strictly.
func typecheck(t *testing.T, code []string) {
	t.Helper()
	dir := withModules(t)
	args := []string{"--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--jsx", "react-jsx", "--skipLibCheck"}
	for i, text := range code {
		file := filepath.Join(dir, string(rune('a'+i))+".tsx")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	tsc := exec.Command("node_modules/.bin/tsc", args...)
	tsc.Dir = dir
	if out, err := tsc.CombinedOutput(); err != nil {
		t.Errorf("TypeScript: %v\n%s", err, out)
	}
}

// tailSnippet runs what stands behind the prompt, and compares what follows.
func tailSnippet(t *testing.T, base, text string) {
	t.Helper()
	line, want, _ := strings.Cut(text, "\n")
	arguments, ok := strings.CutPrefix(line, "$ spillway ")
	if !ok {
		t.Fatalf("it begins with %q", line)
	}
	p := program(t, "sh", "-c", binary+" "+arguments+" --url "+base+" 2>&1").start()
	if code := p.exit(chromium.Patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	handle := regexp.MustCompile(`--from \S+:`)
	got := handle.ReplaceAllString(p.out.String(), "--from H:")
	if want = handle.ReplaceAllString(want, "--from H:"); got != want {
		t.Errorf("tail prints\n%s\nthe page shows\n%s", got, want)
	}
}

// goSnippet is a program around the body of a function that may fail.
func goSnippet(t *testing.T, body string) *process {
	t.Helper()
	dir := t.TempDir()
	source, executable := filepath.Join(dir, "main.go"), filepath.Join(dir, "snippet")
	text := `package main

import (
	"context"
	"fmt"
	"log"

	"github.com/spillway-sync/spillway/client"
)

func main() { log.Fatal(run(context.Background())) }

func run(ctx context.Context) error {
` + body + "}\n"
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", executable, source).CombinedOutput(); err != nil {
		t.Fatalf("build the Go snippet: %v\n%s", err, out)
	}
	return program(t, executable)
}

// nodeSnippet is a program of TypeScript for Node.js.
func nodeSnippet(t *testing.T, text string) *process {
	t.Helper()
	file := filepath.Join(withModules(t), "snippet.mjs")
	if err := os.WriteFile(file, bundle(t, "", text, "--platform=node", "--format=esm", "--packages=external"), 0o644); err != nil {
		t.Fatal(err)
	}
	return program(t, "node", file)
}

// testReactSnippet renders the component of docs/clients.md.
func testReactSnippet(t *testing.T, b *chromium.Browser) {
	db, base := demoService(t)
	text := snippets(t, base)["tsx"][0] + `
import { createRoot } from 'react-dom/client'
createRoot(document.getElementById('root')!).render(<Issues />)`
	page := b.Open(t, serveScript(t, bundle(t, "", text)), chromium.Desk)
	page.Until("the issues", "document.querySelectorAll('li').length === 300")
	db.Exec("INSERT INTO issues (project_id, title) VALUES (1, 'Mend the sluice')")
	page.Until("a new issue", "document.body.innerText.includes('Mend the sluice')")
	db.Exec("UPDATE issues SET status = 'done' WHERE title = 'Mend the sluice'")
	page.Until("it to be gone", "!document.body.innerText.includes('Mend the sluice')")
}
