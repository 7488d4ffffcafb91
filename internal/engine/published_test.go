package engine

import (
	"testing"

	"github.com/spillway-sync/spillway/internal/pgquery"
)

// A member of a family that is published by other rows than before has not been
// published all the time; one that comes, goes, or gets one more, has.
func TestPublishedLearns(t *testing.T) {
	t.Parallel()
	all := func(leaf ...string) []pgquery.Member {
		return []pgquery.Member{{Root: 1, OID: 1, By: []string{"table 7 100"}}, {Root: 1, OID: 2, By: leaf}, {Root: 3, OID: 3, By: []string{"table 9 101"}}}
	}
	known, gaps := published{}.learn("5 99", all("table 7 100"))
	if len(gaps) != 0 || len(known.Tables) != 2 || len(known.Tables[1]) != 2 {
		t.Fatalf("the first look: %v, gaps %v", known, gaps)
	}
	for name, c := range map[string]struct {
		found []pgquery.Member
		gap   bool
	}{
		"the same":        {all("table 7 100"), false},
		"one more":        {all("table 7 100", "schema 8 200"), false},
		"another":         {all("table 8 200"), true},
		"none":            {all(), true},
		"partition gone":  {append(all()[:1], all()[2]), false},
		"partition comes": {append(all("table 7 100"), pgquery.Member{Root: 1, OID: 4, By: []string{"table 7 100"}}), false},
	} {
		is, gaps := known.learn("5 99", c.found)
		if (len(gaps[1]) > 0) != c.gap || len(gaps[3]) > 0 {
			t.Errorf("%s: gaps %v", name, gaps)
		}
		if name == "the same" != is.equal(known) {
			t.Errorf("%s: %v equals %v: %t", name, is, known, is.equal(known))
		}
	}
	if is, _ := known.learn("5 102", all("table 7 100")); is.equal(known) {
		t.Error("a publication that was altered is the same")
	}
	// What is not published is not known: its next row is no news.
	is, _ := known.learn("5 99", all())
	if _, gaps := is.learn("5 99", all("table 8 200")); len(gaps) > 0 {
		t.Errorf("published again: gaps %v", gaps)
	}
}
