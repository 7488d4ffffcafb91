package admin

import (
	"log/slog"
	"net/http"
	"strconv"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/shape"
)

// shapesMost is how many shapes are listed in one answer at the most.
const shapesMost = 1000

// listed is a shape with what a client would ask for to be given it.
type listed struct {
	ID          shape.ID     `json:"id"`
	Handle      shape.Handle `json:"handle"`
	Schema      string       `json:"schema"`
	Table       string       `json:"table"`
	Where       string       `json:"where,omitempty"`
	Columns     []string     `json:"columns,omitempty"` // none: all of the table
	FullRows    bool         `json:"full_rows,omitempty"`
	ChangesOnly bool         `json:"changes_only,omitempty"`
	State       string       `json:"state"`
}

// answerShapes lists the shapes that live here, in the order of their creation, which
// is that of their IDs. Who goes on after the ID of the last one misses none that
// lives all the while and sees none twice, whatever comes and goes meanwhile.
func answerShapes(w http.ResponseWriter, r *http.Request, src Source, log *slog.Logger) {
	number := func(name string, or uint64) (uint64, error) {
		text := r.URL.Query().Get(name)
		if text == "" {
			return or, nil
		}
		return strconv.ParseUint(text, 10, 64)
	}
	after, err := number("after", 0)
	limit, err2 := number("limit", shapesMost)
	if err != nil || err2 != nil {
		answer(w, log, http.StatusBadRequest, map[string]string{"error": "after is the id of a shape, limit a number, 0 or more"})
		return
	}
	all := []listed{}
	for _, s := range src.ShapesAfter(shape.ID(after), int(min(limit, shapesMost))) {
		all = append(all, listingOf(s))
	}
	answer(w, log, http.StatusOK, map[string]any{"shapes": all})
}

func listingOf(s engine.ShapeInfo) listed {
	l := listed{ID: s.ID, Handle: s.Handle, Schema: s.Schema, Table: s.Table, Where: s.Where,
		FullRows: s.FullRows, ChangesOnly: s.ChangesOnly, State: s.State}
	if !s.All {
		l.Columns = s.Names
	}
	return l
}
