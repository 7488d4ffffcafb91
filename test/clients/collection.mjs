// Follows one shape with a collection of TanStack DB over the official client,
// unmodified. Answers commands on stdin with one JSON line each on stdout:
//
//   rows              the rows as the collection holds them, values as text
//   count             how many rows a query with count() finds
//   requests          how many requests were made for the log and for subsets
//   tx <xid>          waits until the collection has the transaction
//   expect <xid>      begins to wait for it
//   expected          waits until all that is expected has come
//   never <xid>       waits in vain for it, for a second
//   top <n>           (on-demand) shows the n rows with the largest n
//   load <n>          (on-demand) shows the rows whose column n is at least that
//   ask <n>           begins with that
//   asked             waits until it is done
//   hold <what>       the next such is kept here: log-answer, subset-request, subset-answer
//   held              waits until it is
//   go                lets it go
//
//   node collection.mjs <url of /v1/shape> <eager|progressive|on-demand> <params as JSON>
//
// The sync begins with the command start.
import { createInterface } from 'node:readline'
import { count, createCollection, createLiveQueryCollection, gte } from '@tanstack/db'
import { electricCollectionOptions } from '@tanstack/electric-db-collection'

const [url, syncMode, params] = process.argv.slice(2)
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n')

const requests = { log: 0, subset: 0 }
let gate // what is to be held, and when
const pass = async (what) => {
  if (gate?.what !== what) return
  const { opened, arrive } = gate
  gate = undefined
  arrive()
  await opened
}
const fetchClient = async (input, init) => {
  const kind = String(input).includes('subset__') || init?.method === 'POST' ? 'subset' : 'log'
  requests[kind]++
  await pass(kind + '-request')
  const answer = await fetch(input, init)
  await pass(kind + '-answer')
  return answer
}

const items = createCollection(
  electricCollectionOptions({
    id: 'items',
    syncMode,
    shapeOptions: {
      url,
      params: JSON.parse(params),
      fetchClient,
      onError: (e) => {
        say({ error: String(e) })
        process.exit(1)
      },
    },
    getKey: (row) => row.id,
  })
)

let shown = items
let held, open, asked
const expected = []
const text = (v) => (v === null || v === undefined ? null : String(v))
const show = async (query) => {
  shown = createLiveQueryCollection(query)
  shown.subscribeChanges(() => {}) // else it is dropped after a while
  await shown.preload()
}
const load = (n) => show((q) => q.from({ items }).where((r) => gte(r.items.n, Number(n))))
const answer = {
  start: () => items.startSyncImmediate(),
  rows: () => ({ dump: [...shown.values()].map((r) => ({ id: text(r.id), n: text(r.n) })) }),
  count: async () => {
    const counted = createLiveQueryCollection((q) => q.from({ items }).select((r) => ({ n: count(r.items.id) })))
    await counted.preload()
    return { count: [...counted.values()][0]?.n ?? 0 }
  },
  requests: () => requests,
  tx: (xid) => items.utils.awaitTxId(Number(xid), 30_000),
  expect: (xid) => void expected.push(items.utils.awaitTxId(Number(xid), 30_000)),
  expected: () => Promise.all(expected),
  never: (xid) =>
    items.utils.awaitTxId(Number(xid), 1_000).then(
      () => ({ error: `it has transaction ${xid}` }),
      () => ({})
    ),
  top: (n) => show((q) => q.from({ items }).orderBy((r) => r.items.n, 'desc').limit(Number(n))),
  load,
  ask: (n) => void (asked = load(n)),
  asked: () => asked,
  hold: (what) => {
    held = new Promise((arrive) => {
      gate = { what, arrive, opened: new Promise((resolve) => (open = resolve)) }
    })
  },
  held: () => held,
  go: () => open(),
}
createInterface({ input: process.stdin }).on('line', async (line) => {
  const [command, argument] = line.split(' ')
  try {
    const a = await answer[command](argument)
    say(typeof a === 'object' && !Array.isArray(a) ? a : {})
  } catch (e) {
    say({ error: String(e.stack ?? e) })
  }
}).on('close', () => process.exit())
