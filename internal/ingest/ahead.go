package ingest

// ahead is how many steps' shapes are asked for at once.
const ahead = 16

// lookAhead finds the members that the next steps are about, and touches what each of
// them will need. With a million shapes none of it is in a cache, and the processor waits for
// many places in memory as long as for one, if nothing lies between that has to wait for them.
func (w *worker) lookAhead(steps []step) []*member {
	next := w.next[:len(steps)]
	for i := range steps {
		next[i] = nil
		if s := &steps[i]; s.kind == stepChange {
			next[i] = w.members.Get(s.id)
		}
	}
	n := 0
	for _, m := range next {
		if m != nil && m.touch() {
			n++
		}
	}
	w.touched = n
	return next
}

// touch reads a little of everything that a change of the shape reads.
func (m *member) touch() bool {
	leaving := m.shape.Leaving()
	return m.consumer.Touch() || m.dead || leaving
}
