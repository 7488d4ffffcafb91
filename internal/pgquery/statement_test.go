package pgquery

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// senders are the methods of pgx and pgconn that take SQL, all with a context before
// it. Others that do are not to be used.
var (
	senders = []string{"Query", "QueryRow", "Exec"}
	refused = []string{"Prepare", "SendBatch", "Queue", "CopyTo", "CopyFrom", "ExecBatch", "ExecParams", "ExecStatement"}
)

// TestOnlyStatementsAreSent: whatever is sent to Postgres is a constant or a
// statement, and statements are made of other text in statement.go only. With the
// compiler, which does not join a text to a statement, that is all: no other room that
// serves requests speaks to Postgres (internal/house), and pgrepl's commands are made
// of the configuration.
func TestOnlyStatementsAreSent(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	constants := map[string]bool{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
				for _, s := range g.Specs {
					for _, name := range s.(*ast.ValueSpec).Names {
						constants[name.Name] = true
					}
				}
			}
		}
	}
	safe := func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.BasicLit:
			return e.Kind == token.STRING
		case *ast.Ident:
			return constants[e.Name]
		case *ast.CallExpr:
			sel, ok := e.Fun.(*ast.SelectorExpr)
			return ok && sel.Sel.Name == "whole"
		}
		return false
	}
	sent := 0
	for _, f := range files {
		name := fset.Position(f.Pos()).Filename
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if k, ok := n.Key.(*ast.Ident); ok && k.Name == "BeginQuery" && !safe(n.Value) {
					t.Errorf("%s: a transaction begins with a text that is no statement", fset.Position(n.Pos()))
				}
			case *ast.CallExpr:
				if to, ok := n.Fun.(*ast.Ident); ok && to.Name == "statement" && name != "statement.go" {
					t.Errorf("%s: a text is made a statement: that is for the printers of statement.go", fset.Position(n.Pos()))
				}
				sel, ok := n.Fun.(*ast.SelectorExpr)
				switch {
				case !ok:
				case slices.Contains(refused, sel.Sel.Name):
					t.Errorf("%s: %s is not looked at by this test", fset.Position(n.Pos()), sel.Sel.Name)
				case slices.Contains(senders, sel.Sel.Name):
					sent++
					if len(n.Args) < 2 || !safe(n.Args[1]) {
						t.Errorf("%s: what is sent is neither a constant nor a statement", fset.Position(n.Pos()))
					}
				}
			}
			return true
		})
	}
	if sent < 20 {
		t.Errorf("%d places were looked at only", sent)
	}
}
