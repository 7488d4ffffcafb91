package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/spillway-sync/spillway"

// room says what one package may import besides the standard library.
type room struct {
	ours []string // rooms of ours
	libs []string // modules of others, by prefix
	pure bool     // no clock, goroutine, lock, I/O
}

// The table of docs/ARCHITECTURE.md. A refusal by this test means: move the
// code to the room that may do it, or change the table there and here, with the
// reason.
var rooms = map[string]room{
	"wal":      {pure: true},
	"expr":     {pure: true, ours: []string{"wal"}, libs: []string{"github.com/cockroachdb/apd/v3"}},
	"shape":    {pure: true, ours: []string{"wal", "expr"}},
	"pgoutput": {pure: true, ours: []string{"wal"}},
	"route":    {pure: true, ours: []string{"wal", "expr", "shape"}},
	"flush":    {pure: true, ours: []string{"wal", "shape"}},
	"consume":  {pure: true, ours: []string{"wal", "expr", "shape"}},

	"journal":  {ours: []string{"wal"}, libs: []string{"github.com/cockroachdb/pebble/v2/vfs"}},
	"shapelog": {ours: []string{"wal", "shape"}, libs: []string{"github.com/cockroachdb/pebble/v2"}},
	// The catalogue stores a WHERE clause as text and compiles it when it loads.
	"registry": {ours: []string{"wal", "expr", "shape", "shapelog"}, libs: []string{"github.com/cockroachdb/pebble/v2"}},

	"turn":     {},
	"pgrepl":   {ours: []string{"wal"}, libs: []string{"github.com/jackc/pgx/v5", "golang.org/x/sys/unix"}},
	"pgquery":  {ours: []string{"wal", "expr", "shape", "turn"}, libs: []string{"github.com/jackc/pgx/v5"}},
	"snapshot": {ours: []string{"wal", "expr", "shape", "shapelog", "registry", "pgquery", "consume", "turn"}, libs: []string{"golang.org/x/sync"}},
	"ingest":   {ours: []string{"wal", "expr", "shape", "pgoutput", "route", "flush", "consume", "journal", "shapelog", "registry"}},

	// Faults on purpose: it knows shapes and files, not the machinery it hurts.
	"chaos": {ours: []string{"wal", "shape"}, libs: []string{"github.com/cockroachdb/pebble/v2/vfs"}},

	"engine": {
		ours: []string{"chaos", "wal", "expr", "shape", "flush", "consume", "journal", "shapelog", "registry", "pgrepl", "pgquery", "snapshot", "ingest"},
		libs: []string{"github.com/cockroachdb/pebble/v2/vfs"},
	},
	"api":   {ours: []string{"wal", "expr", "shape", "registry", "shapelog", "snapshot", "consume"}, libs: []string{"github.com/klauspost/compress"}},
	"admin": {ours: []string{"engine", "chaos", "wal", "shape"}, libs: []string{"github.com/prometheus/client_golang"}},

	// What clients are given against what SELECT returns. It shares no code with what
	// it checks: the same fault on both sides would hide itself.
	"verify": {libs: []string{"github.com/jackc/pgx/v5"}},

	// A preflight: it asks what the service asks, and some more.
	"doctor": {ours: []string{"engine", "pgquery", "pgrepl"}, libs: []string{"github.com/jackc/pgx/v5", "golang.org/x/sys/unix"}},

	// A data directory without a service, read by the rooms that wrote it.
	"inspect": {ours: []string{"engine", "journal", "registry", "shape", "shapelog", "wal"}, libs: []string{"github.com/cockroachdb/pebble/v2/vfs"}},

	// A private Postgres, for spillway dev and for tests.
	"pgdev":    {},
	"pgtest":   {ours: []string{"pgdev"}, libs: []string{"github.com/jackc/pgx/v5"}},
	"demo":     {libs: []string{"github.com/jackc/pgx/v5"}},
	"chromium": {},
	"sim":      {ours: []string{"wal", "expr", "shape", "pgoutput", "consume", "journal", "shapelog", "registry", "ingest", "snapshot"}, libs: []string{"github.com/cockroachdb/pebble/v2"}},
	"house":    {},
}

// maxLines is how long a file may be, tests aside. Raising it for one file
// needs a line here with the reason.
const maxLines = 500

func TestImports(t *testing.T) {
	each(t, func(path string, file *ast.File, fset *token.FileSet) {
		name, test := roomOf(path)
		r, ok := rooms[name]
		if !ok {
			t.Errorf("%s: room %q is not in the table of this test", path, name)
			return
		}
		if test {
			return // tests may look over the wall
		}
		for _, imp := range file.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if why := refuse(r, p); why != "" {
				t.Errorf("%s: room %s must not import %s: %s", fset.Position(imp.Pos()), name, p, why)
			}
		}
	})
}

// client/ is for other programs: it must not bring anything with it.
func TestClientImports(t *testing.T) {
	paths, err := filepath.Glob("../../client/*.go")
	if err != nil || len(paths) < 5 {
		t.Fatalf("found %d files of client/ (%v)", len(paths), err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range file.Imports {
			if p := strings.Trim(imp.Path.Value, `"`); strings.Contains(strings.SplitN(p, "/", 2)[0], ".") {
				t.Errorf("%s imports %s: only the standard library is allowed", path, p)
			}
		}
	}
}

func refuse(r room, path string) string {
	if rest, ours := strings.CutPrefix(path, module+"/internal/"); ours {
		if !slices.Contains(r.ours, rest) {
			return "the table does not allow that direction"
		}
		return ""
	}
	if !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") {
		if r.pure && slices.Contains([]string{"sync", "sync/atomic", "os", "net", "context", "io/fs", "net/http", "os/exec"}, path) {
			return "a pure room has no lock, no I/O and no context"
		}
		return ""
	}
	for _, lib := range r.libs {
		if path == lib || strings.HasPrefix(path, lib+"/") {
			return ""
		}
	}
	return "a library that this room's row does not name"
}

func TestPureRooms(t *testing.T) {
	each(t, func(path string, file *ast.File, fset *token.FileSet) {
		name, test := roomOf(path)
		if test || !rooms[name].pure {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a pure room starts no goroutine: return the work instead", fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "NewTimer", "NewTicker"}, n.Sel.Name) {
					t.Errorf("%s: a pure room reads no clock: take the time as an argument", fset.Position(n.Pos()))
				}
			}
			return true
		})
	})
}

func TestEachRoomHasADoc(t *testing.T) {
	for name := range rooms {
		dir := filepath.Join("..", name)
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("the table names room %s: %v", name, err)
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "doc.go")); err != nil {
			t.Errorf("room %s has no doc.go: say what it is, owns and never does", name)
		}
	}
}

var goFile = regexp.MustCompile(`[a-z_*]+\.go`)

// Where a room's doc.go lists its files, the list is whole, and has no others. A *
// stands for what several have in common.
func TestListedFiles(t *testing.T) {
	for name := range rooms {
		dir := filepath.Join("..", name)
		doc, err := os.ReadFile(filepath.Join(dir, "doc.go"))
		_, list, found := strings.Cut(string(doc), "// Files: ")
		if err != nil || !found {
			continue
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		unused := map[string]bool{}
		for _, pattern := range goFile.FindAllString(list, -1) {
			unused[pattern] = true
		}
		all := slices.Collect(maps.Keys(unused))
		for _, path := range files {
			base, listed := filepath.Base(path), false
			for _, pattern := range all {
				if ok, err := filepath.Match(pattern, base); ok && err == nil {
					listed, unused[pattern] = true, false
				}
			}
			if !listed && base != "doc.go" && !strings.HasSuffix(base, "_test.go") {
				t.Errorf("%s/doc.go does not list %s", name, base)
			}
		}
		for pattern, is := range unused {
			if is {
				t.Errorf("%s/doc.go lists %s, which is not there", name, pattern)
			}
		}
	}
}

func TestFileLength(t *testing.T) {
	each(t, func(path string, file *ast.File, fset *token.FileSet) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		if n := fset.File(file.Pos()).LineCount(); n > maxLines {
			t.Errorf("%s has %d lines: cut it by subject, the limit is %d", path, n, maxLines)
		}
	})
}

func roomOf(path string) (name string, test bool) {
	rel, err := filepath.Rel("..", path)
	if err != nil {
		panic(err)
	}
	return strings.SplitN(filepath.ToSlash(rel), "/", 2)[0], strings.HasSuffix(path, "_test.go")
}

// each parses every Go file of internal/.
func each(t *testing.T, f func(path string, file *ast.File, fset *token.FileSet)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		n++
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		f(path, file, fset)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 20 {
		t.Fatalf("looked at %d files only: the test is in the wrong place", n)
	}
}
