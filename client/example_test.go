package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/spillway-sync/spillway/client"
)

// demo stands for a Spillway with a table of two issues, one of which is closed
// after the first sync, by transaction 731.
func demo() *httptest.Server {
	const schema = `{"id":{"type":"int4","pk_index":0,"not_null":true},"status":{"type":"text"}}`
	row := func(id, status, headers string) string {
		return fmt.Sprintf(`{"key":"\"public\".\"issues\"/\"%s\"","value":{"id":"%s","status":"%s"},"headers":{%s,"relation":["public","issues"]}}`, id, id, status, headers)
	}
	first := row("1", "open", `"operation":"insert"`) + "," + row("2", "open", `"operation":"insert"`)
	change := row("2", "closed", `"operation":"update","txids":[731],"lsn":"9","op_position":0`)
	const upToDate = `{"headers":{"control":"up-to-date","global_last_seen_lsn":"9"}}`
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("electric-handle", "1-1")
		w.Header().Set("electric-schema", schema)
		w.Header().Set("electric-cursor", "7")
		body, offset := "", ""
		switch r.URL.Query().Get("offset") {
		case "-1":
			body, offset = first, "0_0"
		case "0_0":
			body, offset = upToDate, "0_inf"
		case "0_inf":
			body, offset = change+","+upToDate, "9_0"
		case "now", "9_0":
			if r.URL.Query().Get("live") == "true" {
				<-r.Context().Done()
				return
			}
			body, offset = upToDate, "9_0"
		}
		w.Header().Set("electric-offset", offset)
		if r.Method == http.MethodPost { // a subset, whatever its condition says
			fmt.Fprintf(w, `{"metadata":{"xmin":"732","xmax":"732","xip_list":[],"database_lsn":"9","snapshot_mark":1},"data":[%s]}`,
				row("2", "closed", `"operation":"insert","snapshot_mark":1`))
			return
		}
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

// A position that was stored, here as JSON, is taken up again.
func ExampleShapeStream_Position() {
	server := demo()
	defer server.Close()
	stored := []byte(`{"handle":"1-1","offset":"0_inf"}`)
	var from client.Position
	if err := json.Unmarshal(stored, &from); err != nil {
		log.Fatal(err)
	}
	stream, err := client.NewShapeStream(client.Options{URL: server.URL + "/v1/shape", Table: "issues", From: from, Once: true})
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range stream.Messages(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		if m.IsMustRefetch() {
			fmt.Println("forget everything") // not here
		}
		if m.IsChange() {
			fmt.Println(m.Headers.Operation, m.Value["id"], m.Value["status"])
		}
	}
	if stored, err = json.Marshal(stream.Position()); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", stored)
	// Output:
	// update 2 closed
	// {"handle":"1-1","offset":"9_0"}
}

// A transaction of one's own, which told its number: SELECT pg_current_xact_id().
func ExampleShape_AwaitTx() {
	server := demo()
	defer server.Close()
	stream, err := client.NewShapeStream(client.Options{URL: server.URL + "/v1/shape", Table: "issues"})
	if err != nil {
		log.Fatal(err)
	}
	shape := client.NewShape(stream)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	var running sync.WaitGroup
	running.Go(func() { shape.Run(ctx) })
	defer running.Wait()
	defer cancel()
	if err := shape.AwaitTx(ctx, 731); err != nil {
		log.Fatal(err)
	}
	row, _ := shape.Row(`"public"."issues"/"2"`)
	fmt.Println(row["status"])
	// Output: closed
}

// A large table of which only some rows are held.
func ExampleShape_Load() {
	server := demo()
	defer server.Close()
	stream, err := client.NewShapeStream(client.Options{
		URL:     server.URL + "/v1/shape",
		Table:   "issues",
		Log:     client.LogChangesOnly,
		Replica: client.ReplicaFull,
		From:    client.Now,
	})
	if err != nil {
		log.Fatal(err)
	}
	shape := client.NewShape(stream)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	var running sync.WaitGroup
	running.Go(func() { shape.Run(ctx) })
	defer running.Wait()
	defer cancel()
	if err := shape.Load(ctx, client.Subset{Where: "status = $1", Params: []string{"closed"}}); err != nil {
		log.Fatal(err)
	}
	for key, row := range shape.Rows() {
		fmt.Println(key, row["status"])
	}
	// Output: "public"."issues"/"2" closed
}
