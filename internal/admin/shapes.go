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
	Handle      shape.Handle `json:"handle"`
	Schema      string       `json:"schema"`
	Table       string       `json:"table"`
	Where       string       `json:"where,omitempty"`
	Columns     []string     `json:"columns,omitempty"` // none: all of the table
	FullRows    bool         `json:"full_rows,omitempty"`
	ChangesOnly bool         `json:"changes_only,omitempty"`
	State       string       `json:"state"`
}

// answerShapes lists the shapes that live here, in the order of their creation.
func answerShapes(w http.ResponseWriter, r *http.Request, src Source, log *slog.Logger) {
	number := func(name string, or int) (int, bool) {
		text := r.URL.Query().Get(name)
		if text == "" {
			return or, true
		}
		n, err := strconv.Atoi(text)
		return n, err == nil && n >= 0
	}
	skip, ok := number("skip", 0)
	limit, ok2 := number("limit", shapesMost)
	if !ok || !ok2 {
		answer(w, log, http.StatusBadRequest, map[string]string{"error": "skip and limit are numbers, 0 or more"})
		return
	}
	page, total := src.Shapes(skip, min(limit, shapesMost))
	all := make([]listed, len(page))
	for i, s := range page {
		all[i] = listingOf(s)
	}
	answer(w, log, http.StatusOK, map[string]any{"total": total, "shapes": all})
}

func listingOf(s engine.ShapeInfo) listed {
	l := listed{Handle: s.Handle, Schema: s.Schema, Table: s.Table, Where: s.Where,
		FullRows: s.FullRows, ChangesOnly: s.ChangesOnly, State: s.State}
	if !s.All {
		l.Columns = s.Names
	}
	return l
}
