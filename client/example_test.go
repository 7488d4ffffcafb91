package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/spillway-sync/spillway/client"
)

// demo stands for a Spillway with a table of two issues, one of which is closed
// after the first sync.
func demo() *httptest.Server {
	const schema = `{"id":{"type":"int4","pk_index":0,"not_null":true},"status":{"type":"text"}}`
	row := func(id, status, operation string) string {
		return fmt.Sprintf(`{"key":"\"public\".\"issues\"/\"%s\"","value":{"id":"%s","status":"%s"},"headers":{"operation":"%s","relation":["public","issues"]}}`, id, id, status, operation)
	}
	const upToDate = `{"headers":{"control":"up-to-date","global_last_seen_lsn":"9"}}`
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("electric-handle", "1-1")
		w.Header().Set("electric-schema", schema)
		w.Header().Set("electric-cursor", "7")
		body, offset := "", ""
		switch r.URL.Query().Get("offset") {
		case "-1":
			body, offset = row("1", "open", "insert")+","+row("2", "open", "insert"), "0_0"
		case "0_0":
			body, offset = upToDate, "0_inf"
		case "0_inf":
			body, offset = row("2", "closed", "update")+","+upToDate, "9_0"
		default:
			<-r.Context().Done()
		}
		w.Header().Set("electric-offset", offset)
		io.WriteString(w, "["+body+"]")
	}))
}

// Messages of a shape until it is up to date, and the place to go on at.
func ExampleShapeStream() {
	server := demo()
	defer server.Close()
	stream, err := client.NewShapeStream(client.Options{
		URL:   server.URL + "/v1/shape",
		Table: "issues",
		Once:  true,
	})
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range stream.Messages(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		if m.IsChange() {
			fmt.Println(m.Headers.Operation, m.Value["id"], m.Value["status"])
		}
	}
	fmt.Println(stream.Position().Offset)
	// Output:
	// insert 1 open
	// insert 2 open
	// 0_inf
}

// The rows of a shape, kept live.
func ExampleShape() {
	server := demo()
	defer server.Close()
	stream, err := client.NewShapeStream(client.Options{URL: server.URL + "/v1/shape", Table: "issues"})
	if err != nil {
		log.Fatal(err)
	}
	shape := client.NewShape(stream)
	ctx, cancel := context.WithCancel(context.Background())
	shape.Subscribe(func(u client.Update) {
		for _, c := range u.Changes {
			fmt.Println(c.New["id"], c.Old["status"], "→", c.New["status"])
			if c.Old != nil {
				cancel() // seen enough
			}
		}
	})
	if err := shape.Run(ctx); !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
	fmt.Println(shape.Len(), "rows")
	// Output:
	// 1 NULL → open
	// 2 NULL → open
	// 2 open → closed
	// 2 rows
}
