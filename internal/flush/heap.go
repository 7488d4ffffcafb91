package flush

import "github.com/spillway-sync/spillway/internal/wal"

// heap is a binary min-heap of the entries by from. Each entry knows its place
// in it, so that one that moves or goes costs a path and not a search. Entries
// with the same from are in no particular order.
//
// container/heap would do the same through an interface call for each
// comparison and an allocation for each push.
type heap []held

// held repeats the key beside the slot: comparing does not leave the heap.
type held struct {
	from wal.LSN
	n    slot
}

func (h heap) lowest() (slot, wal.LSN, bool) {
	if len(h) == 0 {
		return none, 0, false
	}
	return h[0].n, h[0].from, true
}

func (h *heap) push(t *entries, n slot) {
	*h = append(*h, held{from: t.at(n).from, n: n})
	h.up(t, len(*h)-1)
}

func (h *heap) remove(t *entries, n slot) {
	i, last := int(t.at(n).place), len(*h)-1
	moved := (*h)[last]
	*h = (*h)[:last]
	if i == last {
		return
	}
	h.put(t, i, moved)
	h.down(t, i)
	h.up(t, i)
}

// raised puts an entry in its place again after its from has grown.
func (h *heap) raised(t *entries, n slot) {
	e := t.at(n)
	(*h)[e.place].from = e.from
	h.down(t, int(e.place))
}

// lowered is raised for a from that has become less.
func (h *heap) lowered(t *entries, n slot) {
	e := t.at(n)
	(*h)[e.place].from = e.from
	h.up(t, int(e.place))
}

func (h heap) put(t *entries, i int, x held) {
	h[i] = x
	t.at(x.n).place = int32(i)
}

func (h heap) up(t *entries, i int) {
	x := h[i]
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].from <= x.from {
			break
		}
		h.put(t, i, h[parent])
		i = parent
	}
	h.put(t, i, x)
}

func (h heap) down(t *entries, i int) {
	x := h[i]
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if right := child + 1; right < len(h) && h[right].from < h[child].from {
			child = right
		}
		if x.from <= h[child].from {
			break
		}
		h.put(t, i, h[child])
		i = child
	}
	h.put(t, i, x)
}
