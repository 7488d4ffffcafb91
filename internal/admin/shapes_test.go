package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/shape"
)

// Who lists shapes page by page sees each that lives all the while once, whichever
// go meanwhile, the one that the last page ended with too.
func TestShapesByCursor(t *testing.T) {
	t.Parallel()
	src := stage{}
	for id := shape.ID(1); id <= 9; id++ {
		src.shapes = append(src.shapes, engine.ShapeInfo{ID: id, Handle: shape.Handle(fmt.Sprint("h-", id))})
	}
	var got []uint64
	for after := uint64(0); ; {
		answer := askOf(src, "GET", fmt.Sprintf("/shapes?limit=3&after=%d", after))
		var page struct{ Shapes []struct{ ID uint64 } }
		if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil || answer.Code != http.StatusOK {
			t.Fatalf("%d %s", answer.Code, answer.Body)
		}
		if len(page.Shapes) == 0 {
			break
		}
		for _, s := range page.Shapes {
			after = s.ID
			got = append(got, s.ID)
		}
		// What was listed goes, and so does the next.
		var rest []engine.ShapeInfo
		for _, s := range src.shapes {
			if uint64(s.ID) > after+1 {
				rest = append(rest, s)
			}
		}
		src.shapes = rest
	}
	if fmt.Sprint(got) != "[1 2 3 5 6 7 9]" {
		t.Errorf("listed %v", got)
	}
	for _, bad := range []string{"after=h-1", "after=-1", "limit=x"} {
		if answer := askOf(src, "GET", "/shapes?"+bad); answer.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, answer.Code)
		}
	}
}
