// Package client follows shapes: subsets of Postgres tables that a Spillway
// (or another server of the Electric protocol) serves over HTTP and keeps
// live. It needs the standard library only.
//
// There are two ways to follow a shape.
//
// A [ShapeStream] gives the shape's log as it is: a message for each row at
// first, then one for each change, and a message whenever the end of the log is
// reached. It is for those who pass changes on: into a search index, a cache,
// another database. Its [Position] can be stored and taken up later.
//
//	stream, err := client.NewShapeStream(client.Options{
//		URL:   "http://127.0.0.1:3000/v1/shape",
//		Table: "issues",
//	})
//	for m, err := range stream.Messages(ctx) { … }
//
// A [Shape] holds the rows. What it shows is always a state that the server
// called up to date, never half a transaction, also while the shape starts
// again after a rotation.
//
//	shape := client.NewShape(stream)
//	go shape.Run(ctx)
//	err := shape.Wait(ctx) // the first sync
//	rows := shape.Rows()
//
// # What is retried
//
// A server that is away, overloaded or starting is no error: requests that
// fail, answers that are cut off, 408, 429 and 5xx are tried again until the
// context ends, after a random time whose limit doubles from
// Options.MinBackoff to Options.MaxBackoff, and not before the time that
// Retry-After asks for. Options.OnRetry hears of each. An [*Error] is returned
// for what trying again would not change: a 400 for a WHERE clause, a 401 for a
// secret.
//
// When the server has given up a log (409: the table was truncated, its columns
// changed, the shape was evicted), a stream gives one must-refetch message: all
// that was received is void and comes anew. A Shape replaces its rows in one
// step when the new ones are complete.
//
// # What is delivered
//
// Messages arrive in the order of commits. A position moves on after what
// belongs to it was delivered: after a crash of the caller between storing rows
// and storing the position, messages come again and none is missing. Apply them
// so that a second time does no harm (upsert, delete if there).
//
// Values are what Postgres prints, see [Value]; [ShapeStream.Schema] tells
// their types.
package client
