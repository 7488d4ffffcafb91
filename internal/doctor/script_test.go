package doctor

import (
	"os"
	"strings"
	"testing"
)

// The documents show the script as it is printed. That it does what it says is shown by
// test/e2e TestDoctorScript.
func TestDocumentedScript(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	s := Script{Role: "sync", Database: "app", Publication: "spillway_publication_default", Slot: "spillway_slot_default", Tables: [][2]string{{"public", "issues"}}}
	if !strings.Contains(string(b), "```sql\n"+s.SQL()+"```\n") {
		t.Errorf("docs/operating.md does not show this script:\n%s", s.SQL())
	}
}

// No name can end the body of a DO.
func TestScriptQuotes(t *testing.T) {
	t.Parallel()
	s := Script{Role: "a$do$b", Database: "d\nDROP", Publication: "p", Slot: "s", Tables: [][2]string{{"x$x$do$", `t"'`}}}
	out := s.SQL()
	if strings.Contains(out, "DO $do$") || strings.Contains(out, "DO $x$do$") || strings.Contains(out, "\nDROP\n") {
		t.Errorf("a name ends a body or a comment:\n%s", out)
	}
	if want := `'"x$x$do$"."t""''"'::regclass`; !strings.Contains(out, want) {
		t.Errorf("no %s in\n%s", want, out)
	}
	if out := (&Script{}).SQL(); !strings.Contains(out, "No tables were named") {
		t.Error("without tables it does not say so")
	}
}
