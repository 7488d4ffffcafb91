// Package api is HTTP for clients: the Electric protocol (http-protocol spec).
//
// It owns the routes, the parameters and their error texts, the response
// headers and what caches may do with a response, and the waiting of live
// requests.
//
// It never looks at a row of a log: that is bytes that were encoded when they were
// written. It never talks to Postgres, knows neither spine nor shards, and
// never changes a shape's state except by asking for one to be created.
//
// Invariants:
//
//  1. Routing, authentication and CORS look at the normalised path, never at
//     the raw one.
//  2. A response says up-to-date only if it ends at the tail that was read
//     after the position it announces (Seen first, then Tail, then the log).
//  3. A shape is looked at for removal after its log was read: a log that was
//     being deleted is never served as a shorter one.
//  4. A 409 never names the handle that the client has just sent.
//  5. A body that could not be sent whole ends with the connection, never with
//     a closing bracket.
//  6. What a client sent is never logged: it holds the secret.
//  7. A request that waits over HTTP/1.1 holds nothing of net/http's, and is otherwise
//     like any other: counted, limited, answered before a shutdown.
//
// Files: api.go Config, Source, New · route.go paths, methods, panics ·
// server.go limits of the transport · listen.go
// limit of connections · tls.go certificates · query.go the query string · params.go
// parameters · define.go parameters → definition · errors.go every refusal ·
// headers.go electric headers, caching, etags · cors.go · cursor.go · send.go
// writing with deadlines · shape.go GET /v1/shape, start to end · snapshot.go
// first rows · park.go connections whose request waits · reply.go what is written to
// them · encode.go compression · page.go pages of the log, shared · log.go
// the log · live.go waiting · admission.go how many at once · delete.go DELETE ·
// sse.go streams of events · body.go the body of a POST · subset.go rows as they
// are now · health.go.
package api
