/**
 * Writes to a store in PostgreSQL until it is killed: node postgres-crash-process.ts SCHEMA SEED, the URL on
 * standard input. Prints `try TOKEN...` before a commit and `ack` after it, each by one synchronous write.
 */
import { readFileSync, writeSync } from 'node:fs'

import { toHex } from '../../src/bytes.ts'
import { openPostgresStore } from '../../src/he/postgres.ts'
import { block, bytes, collect, record } from './store-content.ts'
import { dice } from './store-model.ts'

const [schema = '', seed = ''] = process.argv.slice(2)
const say = (text: string) => writeSync(1, `${text}\n`)
const roll = dice(Number(seed))
const store = await openPostgresStore(readFileSync(0, 'utf8'), { schema })
for (;;) {
  const slots = 30
  let slot = 0
  const place = () => (roll(2) === 0 ? { block: 0, slot: slot++ } : undefined)
  const records = Array.from({ length: 10 }, () => record({ sealed: bytes(2500), place: place() }))
  // As a compaction: a block is taken apart, and what lives in it comes into the new one.
  const [old] = await store.blocks('things')
  const all = roll(2) === 0 ? await collect(store.all('things')) : []
  const moves = all
    .filter((one) => one.place === undefined || one.place.block === old?.block)
    .slice(0, slots - slot)
    .map(({ token, version }) => ({ token, version, block: 0, slot: slot++ }))
  say(`try ${records.map(({ token }) => toHex(token)).join(' ')}`)
  await store.commit('things', {
    blocks: [block(slots, { bytes: bytes(300_000) })],
    records,
    moves,
    removeBlocks: all.length > 0 && old !== undefined ? [old.block] : [],
  })
  say('ack')
}
