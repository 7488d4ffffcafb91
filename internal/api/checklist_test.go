package api

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// elsewhere says where items of the check-list (http-protocol §26) are tested that
// have no script: a file below the repository's root and the test in it.
var elsewhere = map[int]string{
	112: "internal/api/live_test.go TestManyWaitersOneAnswer",
	140: "test/e2e/shapes_test.go TestShapesUnderWrites",
	182: "test/e2e/transport_test.go TestSubsetSees",
	208: "test/e2e/transport_test.go TestRawRequests",
	209: "test/e2e/transport_test.go TestRawRequests",
	211: "test/e2e/transport_test.go TestSlowReader",
	212: "internal/api/server_test.go TestCutBody",
	213: "test/e2e/hour_test.go TestOfficialClientForAnHour", // in numbers of requests
	214: "test/e2e/official_test.go TestOfficialClientEvents",
	216: "test/e2e/sse_test.go TestOfficialClientStartsWithThreeRequests",
	217: "test/e2e/cache_test.go TestCacheCollapses",
	219: "test/e2e/collection_test.go TestTanStackDB",
	220: "test/e2e/gosubset_test.go TestRefetchStorm",
}

// notYet says why items are not tested.
var notYet = map[int]string{
	72:  "waits for subqueries",
	73:  "waits for subqueries",
	183: "waits for subqueries",
	184: "waits for subqueries",
	185: "waits for subqueries",
	186: "waits for subqueries",
	187: "waits for subqueries",
	188: "waits for subqueries",
	189: "waits for subqueries",
	215: "clients: the suite is part of the other server's repository, which is not opened",
	218: "clients: the Elixir client comes from Hex, which the project's machines do not reach",
}

const items = 220

var (
	scripts  = []string{"internal/api/testdata", "test/e2e/testdata"}
	numbered = regexp.MustCompile(`^# (\d+(?:, \d+)*)\b(?:[^,0-9].*)?$`)
)

// TestChecklistIsWhole: every item of the check-list has a script that names it,
// or a line above, and nothing above is out of date.
func TestChecklistIsWhole(t *testing.T) {
	const root = "../.."
	tested := map[int][]string{}
	for _, dir := range scripts {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.txt"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no scripts in %s: %v", dir, err)
		}
		for _, file := range files {
			for n := range itemsOf(t, file) {
				tested[n] = append(tested[n], filepath.Base(file))
			}
		}
	}
	for n, where := range elsewhere {
		file, test, _ := strings.Cut(where, " ")
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil || !strings.Contains(string(text), "func "+test+"(") {
			t.Errorf("item %d: there is no %s: %v", n, where, err)
		}
		tested[n] = append(tested[n], where)
	}
	for n, why := range notYet {
		if where := tested[n]; where != nil {
			t.Errorf("item %d (%s) is tested: %s", n, why, where)
		}
		tested[n] = []string{"not tested: " + why}
	}
	for n := range items {
		if tested[n+1] == nil {
			t.Errorf("item %d is nowhere", n+1)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(tested)) {
		if n < 1 || n > items {
			t.Errorf("there is no item %d: %s", n, tested[n])
		}
		t.Logf("%3d %s", n, strings.Join(tested[n], ", "))
	}
}

// itemsOf are the numbers that head the requests of a script.
func itemsOf(t *testing.T, file string) map[int]bool {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]bool{}
	for line := range strings.Lines(string(text)) {
		m := numbered.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		for s := range strings.SplitSeq(m[1], ", ") {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			found[n] = true
		}
	}
	return found
}
