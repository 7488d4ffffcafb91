// The clients of a browser, unmodified, in one page that a test steers:
//
//   start(name, kind, {url, params, sse, …})   follows a shape, with one of the kinds below
//   rows(name)                                 what it holds, every value as text
//   load(name, n)                              (on-demand) shows the rows whose column n is at least that
//   awaitTx(name, xid, limit)                  (collections) until it has the transaction
//   trouble                                    what clients gave up on
import { createRoot } from 'react-dom/client'
import { Shape, ShapeStream } from '@electric-sql/client'
import { useShape } from '@electric-sql/react'
import { createCollection, createLiveQueryCollection, gte } from '@tanstack/db'
import { electricCollectionOptions } from '@tanstack/electric-db-collection'

const held = new Map() // name → its rows, now
const collections = new Map()
const text = (v) => (v === null || v === undefined ? null : String(v))
const asText = (row) => Object.fromEntries(Object.entries(row).filter(([k]) => !k.startsWith('$')).map(([k, v]) => [k, text(v)]))

window.trouble = []
const options = ({ url, params, sse, method }) => ({
  url,
  params,
  liveSse: sse,
  subsetMethod: method,
  onError: (e) => void window.trouble.push(String(e)),
})

// Rows shows the shape as a list, and is read from the document: what is not
// rendered does not count.
function Rows({ shape }) {
  const { data, isError, error } = useShape(shape)
  if (isError) window.trouble.push(String(error))
  return (
    <ul>
      {data.map((row) => (
        <li key={text(row.id)}>{JSON.stringify(asText(row))}</li>
      ))}
    </ul>
  )
}

const collection = (syncMode) => (name, o) => {
  const items = createCollection(
    electricCollectionOptions({ id: name, syncMode, shapeOptions: options(o), getKey: (row) => row.id })
  )
  items.subscribeChanges(() => {}) // begins the sync
  collections.set(name, items)
  held.set(name, () => [...items.values()])
}

const kinds = {
  shape(name, o) {
    const shape = new Shape(new ShapeStream(options(o)))
    shape.subscribe(() => {})
    held.set(name, () => shape.currentRows)
  },
  react(name, o) {
    const place = document.body.appendChild(document.createElement('div'))
    createRoot(place).render(<Rows shape={options(o)} />)
    held.set(name, () => [...place.querySelectorAll('li')].map((li) => JSON.parse(li.textContent)))
  },
  eager: collection('eager'),
  progressive: collection('progressive'),
  'on-demand': collection('on-demand'),
}

Object.assign(window, {
  start: (name, kind, o) => kinds[kind](name, o),
  rows: (name) => held.get(name)().map(asText),
  load: async (name, n) => {
    const items = collections.get(name)
    const shown = createLiveQueryCollection((q) => q.from({ items }).where((r) => gte(r.items.n, n)))
    shown.subscribeChanges(() => {}) // else it is dropped after a while
    await shown.preload()
    held.set(name, () => [...shown.values()])
  },
  awaitTx: (name, xid, limit) => collections.get(name).utils.awaitTxId(xid, limit),
})
