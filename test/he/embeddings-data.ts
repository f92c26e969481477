/** Embeddings to search: a real set of documentation pages, and a clustered synthetic one of any size. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** A page and its vector. */
export interface Page {
  readonly id: string
  readonly title: string
  readonly vector: Float32Array
}

/** 778 pages with their all-MiniLM-L6-v2 vectors (384 dimensions, unit length), of `@sap-ux/fiori-docs-embeddings` (Apache-2.0). */
export function documentationPages(): readonly Page[] {
  const manifest = createRequire(import.meta.url).resolve(
    '@sap-ux/fiori-docs-embeddings/package.json',
  )
  const data = join(dirname(manifest), 'data', 'embeddings')
  const bytes = readFileSync(join(data, 'embeddings.bin'))
  const floats = new Float32Array(
    bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
  )
  const lines = readFileSync(join(data, 'records.jsonl'), 'utf8').trimEnd().split('\n')
  return lines.map((line, at) => {
    const { id, content } = JSON.parse(line) as { id: string; content: string }
    const title = /\*\*TITLE\*\*: (.+)/.exec(content)?.[1] ?? content.slice(0, 80)
    return { id, title, vector: floats.slice(at * 384, (at + 1) * 384) }
  })
}

/** mulberry32: a small generator with a seed, so that a run can be repeated. */
export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Normally distributed numbers (Box and Muller). */
export function normal(random: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

const unit = (vector: Float32Array): Float32Array => {
  const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0))
  return vector.map((x) => x / length)
}

/**
 * Unit vectors around random centres, with a spectrum that falls like that of real embeddings. `spread` is
 * the length of the noise where the centre has length 1.
 */
export function clustered(
  count: number,
  dimensions: number,
  { seed = 1, centres = 200, spread = 0.7 } = {},
): readonly Float32Array[] {
  const next = normal(generator(seed))
  const falling = Float32Array.from({ length: dimensions }, (_, at) => (1 + at / 32) ** -0.5)
  const draw = () => unit(falling.map((weight) => weight * next()))
  const middles = Array.from({ length: centres }, draw)
  return Array.from({ length: count }, (_, at) => {
    const noise = draw()
    return unit(middles[at % centres]!.map((x, i) => x + spread * noise[i]!))
  })
}

/** Row numbers of the k nearest by inner product, nearest first, in float64. */
export function nearest(
  rows: readonly Float32Array[],
  query: Float32Array,
  k: number,
): readonly number[] {
  const scores = rows.map((row) => row.reduce((sum, x, i) => sum + x * query[i]!, 0))
  return scores
    .map((score, at) => ({ score, at }))
    .sort((a, b) => b.score - a.score || a.at - b.at)
    .slice(0, k)
    .map(({ at }) => at)
}
