package turn

import (
	"context"
	"errors"
	"testing"
)

func TestTurns(t *testing.T) {
	turns := New(2)
	take := func(table uint32) func() {
		t.Helper()
		give, err := turns.Take(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		return give
	}
	first, second := take(1), take(1)
	take(2)() // another table's
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turns.Take(done, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a third turn: %v", err)
	}
	third := make(chan func())
	go func() { third <- take(1) }()
	first()
	(<-third)()
	second()
	if len(turns.tables) != 0 {
		t.Errorf("%d lines are left", len(turns.tables))
	}
}

func TestMostOf(t *testing.T) {
	for workers, want := range map[int]int{0: 1, 1: 1, 2: 1, 3: 2, 4: 3, 8: 6, 10: 8} {
		if got := MostOf(workers); got != want {
			t.Errorf("of %d: %d, want %d", workers, got, want)
		}
	}
}
