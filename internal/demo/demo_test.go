package demo

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestFillTwice(t *testing.T) {
	db := pgtest.New(t)
	if err := Fill(t.Context(), db.URL); err != nil {
		t.Fatal(err)
	}
	db.Exec("UPDATE issues SET title = 'mine' WHERE id = 1; DELETE FROM comments WHERE id = 2")
	if err := Fill(t.Context(), db.URL); err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]string{
		"SELECT count(*) FROM projects":                 "3",
		"SELECT count(*) FROM issues":                   "300",
		"SELECT count(*) FROM comments":                 "299",
		"SELECT title FROM issues WHERE id = 1":         "mine",
		"SELECT min(status) FROM issues":                "open",
		"SELECT count(*) FROM pg_publication":           "0",
		"SELECT count(DISTINCT project_id) FROM issues": "3",
	} {
		if got := db.Value(sql); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
}

func TestWrite(t *testing.T) {
	db := pgtest.New(t)
	if err := Fill(t.Context(), db.URL); err != nil {
		t.Fatal(err)
	}
	// As if it had written for long.
	db.Exec("INSERT INTO comments (issue_id, body) SELECT 1, 'again' FROM generate_series(1, 2000)")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- Write(ctx, db.URL) }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for db.Value("SELECT count(*) FROM comments WHERE body LIKE 'Now %'") == "0" {
		select {
		case <-tick.C:
		case err := <-ended:
			t.Fatal(err)
		}
	}
	if got := db.Value("SELECT count(*) <= 600 FROM comments"); got != "t" && got != "true" {
		t.Errorf("comments pile up: %s", db.Value("SELECT count(*) FROM comments"))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("asked to stop: %v", err)
	}
}

// The reasons of failures are told, and the end of the context is not one.
func TestFailures(t *testing.T) {
	const away = "postgresql://u@127.0.0.1:1/d"
	if err := Fill(t.Context(), away); err == nil {
		t.Error("filled a database that is away")
	}
	if err := Write(t.Context(), away); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("wrote to a database that is away: %v", err)
	}
	db := pgtest.New(t)
	if err := Write(t.Context(), db.URL); err == nil {
		t.Error("wrote to tables that are not there")
	}
}
