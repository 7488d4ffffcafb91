// Follows one shape with a collection of TanStack DB over the official client,
// unmodified. Answers commands on stdin with one JSON line each on stdout:
//
//   rows              the rows as the collection holds them, values as text
//   tx <xid>          waits until the collection has the transaction
//   load <n>          (on-demand) shows the rows whose column n is at least that
//
//   node collection.mjs <url of /v1/shape> <eager|progressive|on-demand> <params as JSON>
import { createInterface } from 'node:readline'
import { createCollection, createLiveQueryCollection, gte } from '@tanstack/db'
import { electricCollectionOptions } from '@tanstack/electric-db-collection'

const [url, syncMode, params] = process.argv.slice(2)
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n')

const items = createCollection(
  electricCollectionOptions({
    id: 'items',
    syncMode,
    shapeOptions: {
      url,
      params: JSON.parse(params),
      onError: (e) => {
        say({ error: String(e) })
        process.exit(1)
      },
    },
    getKey: (row) => row.id,
  })
)
items.startSyncImmediate()

let shown = items
const text = (v) => (v === null || v === undefined ? null : String(v))
const answer = {
  rows: () => ({ dump: [...shown.values()].map((r) => ({ id: text(r.id), n: text(r.n) })) }),
  tx: async (xid) => ({ done: await items.utils.awaitTxId(Number(xid), 30_000) }),
  load: async (n) => {
    shown = createLiveQueryCollection((q) => q.from({ items }).where((r) => gte(r.items.n, Number(n))))
    await shown.preload()
    return { done: true }
  },
}
createInterface({ input: process.stdin }).on('line', async (line) => {
  const [command, argument] = line.split(' ')
  try {
    say(await answer[command](argument))
  } catch (e) {
    say({ error: String(e.stack ?? e) })
  }
}).on('close', () => process.exit())
