// Follows one shape with the official client, unmodified. Tells what it sees as
// JSON lines on stdout, and answers commands on stdin:
//
//   rows     the rows as it holds them, every value as text
//   counts   the same without the rows
//
//   node follow.mjs <url of /v1/shape> <params as JSON> [sse|once]
import { createInterface } from 'node:readline'
import { Shape, ShapeStream } from '@electric-sql/client'

const [url, params, mode] = process.argv.slice(2)
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n')

const counts = { requests: 0, messages: 0, refetches: 0, upToDates: 0 }
const stream = new ShapeStream({
  url,
  params: JSON.parse(params),
  liveSse: mode === 'sse',
  subscribe: mode !== 'once',
  fetchClient: (...request) => {
    counts.requests++
    return fetch(...request)
  },
  onError: (e) => {
    say({ error: String(e) })
    process.exitCode = 1
  },
})
stream.subscribe((messages) => {
  for (const m of messages) {
    counts.messages++
    if (m.headers.control === 'must-refetch') counts.refetches++
    if (m.headers.control === 'up-to-date') counts.upToDates++
  }
})
const shape = new Shape(stream)
shape.subscribe(({ rows }) => say({ upToDate: true, rows: rows.length }))

const text = (v) => (v === null ? null : String(v))
createInterface({ input: process.stdin }).on('line', (line) => {
  const held = line === 'rows' ? shape.currentRows : []
  const rows = held.map((r) => Object.fromEntries(Object.entries(r).map(([k, v]) => [k, text(v)])))
  say({ dump: rows, ...counts, handle: stream.shapeHandle, offset: stream.lastOffset })
}).on('close', () => process.exit())
