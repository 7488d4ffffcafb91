// Command delays looks for what depends on things being quick: in a copy of the tree it
// puts a possible delay before every statement of the rooms that have goroutines, and runs
// the property test there. Each process that the test starts is slow in some places,
// others each time: a busy machine, a disk or a scheduler is slow in a few places too, and
// seldom in the one that matters.
//
//	go run ./test/delays                    100 seeds of the property test
//	go run ./test/delays -runs 20 -at 17,4  20 seeds, slow in these places only
//	go run ./test/delays -test Partition    other tests of test/e2e, where limits of time may fail too
//
// Where a process was slow stands in its log, which a test that fails prints.
// It changes nothing but its copy.
package main

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// rooms are the packages that have goroutines or locks, or wait.
var rooms = []string{"api", "engine", "ingest", "journal", "pgquery", "pgrepl", "registry", "shapelog", "snapshot", "turn"}

//go:embed delay.go.txt
var delay string

func main() {
	runs := flag.Int("runs", 100, "seeds of the property test")
	at := flag.String("at", "", "the places to be slow in, as a log has them; none: random ones")
	tests := flag.String("test", "TestProperty", "the tests of test/e2e to run")
	flag.Parse()
	log.SetFlags(0)
	if err := run(*tests, *runs, *at); err != nil {
		log.Fatalf("delays: %v", err)
	}
}

func run(tests string, runs int, at string) error {
	tree, err := os.MkdirTemp("", "delays")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	places, err := slowCopy(".", tree)
	if err != nil {
		return err
	}
	fmt.Printf("%d places\n", places)
	test := exec.Command("go", "test", "-count=1", "-parallel=8", "-timeout=60m", "-run="+tests, "./test/e2e", "-args", "-property-runs="+strconv.Itoa(runs))
	test.Dir, test.Stdout, test.Stderr = tree, os.Stdout, os.Stderr
	test.Env = append(os.Environ(), "CGO_ENABLED=0", "DELAYS_AT="+at)
	return test.Run()
}

// slowCopy copies a tree and puts delays into the copy.
func slowCopy(from, tree string) (places int, err error) {
	if err := os.CopyFS(tree, code{os.DirFS(from)}); err != nil {
		return 0, fmt.Errorf("copy the tree: %w", err)
	}
	var names []string
	for _, room := range rooms {
		if names, err = slowRoom(filepath.Join(tree, "internal", room), names); err != nil {
			return 0, fmt.Errorf("put delays into %s: %w", room, err)
		}
	}
	if err := writePackage(tree, names); err != nil {
		return 0, fmt.Errorf("write the delays: %w", err)
	}
	return len(names), nil
}

// code is a tree without what tests of the service do not need.
type code struct{ fs.FS }

func (c code) Open(name string) (fs.File, error) {
	f, err := c.FS.Open(name)
	if d, ok := f.(fs.ReadDirFile); ok {
		return dir{d}, err
	}
	return f, err
}

type dir struct{ fs.ReadDirFile }

func (d dir) ReadDir(n int) ([]fs.DirEntry, error) {
	all, err := d.ReadDirFile.ReadDir(n)
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool {
		return slices.Contains([]string{".git", "bin", "node_modules", "spillway-data"}, e.Name())
	}), err
}

// slowRoom puts delays into the files of a package. names are those of all so far.
func slowRoom(path string, names []string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(path, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if names, err = slowFile(name, names); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func slowFile(path string, names []string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	last := 0
	to := func(at token.Pos) {
		n := set.Position(at).Offset
		out.Write(text[last:n])
		last = n
	}
	to(file.Name.End())
	before := len(names)
	fmt.Fprintf(&out, "\n\nimport %q\n", "github.com/spillway-sync/spillway/internal/delay")
	for _, at := range statements(file) {
		to(at)
		fmt.Fprintf(&out, "delay.At(%d); ", len(names))
		p := set.Position(at)
		names = append(names, fmt.Sprintf("%s/%s:%d", file.Name.Name, filepath.Base(p.Filename), p.Line))
	}
	if len(names) == before {
		return names, nil
	}
	out.Write(text[last:])
	return names, os.WriteFile(path, out.Bytes(), 0o644)
}

// statements are the places of all statements in functions, in their order.
func statements(file *ast.File) (all []token.Pos) {
	ast.Inspect(file, func(n ast.Node) bool {
		var list []ast.Stmt
		switch n := n.(type) {
		case *ast.BlockStmt:
			list = n.List
		case *ast.CaseClause:
			list = n.Body
		case *ast.CommClause:
			list = n.Body
		}
		for _, s := range list {
			switch s.(type) {
			case *ast.CaseClause, *ast.CommClause: // of a switch: no place for another
			default:
				all = append(all, s.Pos())
			}
		}
		return true
	})
	slices.Sort(all)
	return all
}

// writePackage writes the package that the copies call.
func writePackage(tree string, names []string) error {
	path := filepath.Join(tree, "internal", "delay")
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	var table bytes.Buffer
	table.WriteString("package delay\n\nvar names = [...]string{\n")
	for _, name := range names {
		fmt.Fprintf(&table, "\t%q,\n", name)
	}
	table.WriteString("}\n")
	for name, text := range map[string]string{"delay.go": delay, "names.go": table.String()} {
		if err := os.WriteFile(filepath.Join(path, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
