/**
 * Changes a store at random until it is killed: node store-crash-process.ts DIR SEED [POINT NTH].
 * Before each commit it prints `try CHANGE`, after it `ack`, each by one synchronous write, so that what
 * the parent has read was acknowledged before the kill. CHANGE is JSON: `put` token to digest of the
 * sealed bytes, `gone` tokens. With a POINT it kills itself there at the NTH time:
 * `begin` after the bytes and before the rows, `commit` right before and `committed` right after the
 * commit of the rows.
 */
import { writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

import { sha256, toHex } from '../../src/bytes.ts'
import { openEmbeddedStore } from '../../src/he/embedded-store.ts'
import type { Change, NewRecord } from '../../src/he/store.ts'
import { block, bytes, collect, record, SMALL_SEGMENT_BYTES } from './store-content.ts'
import { dice } from './store-model.ts'

const [directory = '', seed = '', point = '', nth = ''] = process.argv.slice(2)
const say = (text: string) => writeSync(1, `${text}\n`)
const digest = (sealed: Uint8Array) => toHex(sha256(sealed))

function killAt(where: string, countdown: number): void {
  let left = countdown
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with the right `this` below
  const { exec } = DatabaseSync.prototype
  const die = () => {
    left -= 1
    if (left === 0) process.kill(process.pid, 'SIGKILL')
  }
  let writing = false
  DatabaseSync.prototype.exec = function (this: DatabaseSync, sql: string) {
    if (sql === 'BEGIN IMMEDIATE') {
      writing = true
      if (where === 'begin') die()
    }
    const ends = writing && sql === 'COMMIT'
    if (ends && where === 'commit') die()
    exec.call(this, sql)
    if (ends && where === 'committed') die()
    if (ends) writing = false
  }
}

const roll = dice(Number(seed))
const store = await openEmbeddedStore(directory, { segmentBytes: SMALL_SEGMENT_BYTES })
if (point !== '') killAt(point, Number(nth))
say('open')
for (;;) {
  const known = (await collect(store.all('things'))).sort(() => roll(3) - 1)
  const take = (count: number) => known.splice(0, count)
  const full = known.length > 120
  const gone = take(full ? 40 : roll(4))
  const replaced = take(roll(3)).map(({ token }) => token)
  const fresh = Array.from({ length: full ? 2 : roll(16) }, () => record().token)
  const slots = 24
  let slot = 0
  const place = () => (roll(2) === 0 && slot < slots ? { block: 0, slot: slot++ } : undefined)
  const records = [...replaced, ...fresh].map((token): NewRecord =>
    record({ token, sealed: bytes(500 + roll(800)), place: place() }),
  )
  // As a compaction: what lives in a block comes into the new one, and the old one goes.
  const numbers = (await store.blocks('things')).map((one) => one.block)
  const removeBlocks = numbers.slice(0, numbers.length > 3 ? 1 + roll(2) : 0)
  const moves = known
    .filter((one) => one.place === undefined || removeBlocks.includes(one.place.block))
    .slice(0, slots - slot)
    .map(({ token, version }) => ({ token, version, block: 0, slot: slot++ }))
  const change: Change = {
    blocks: [block(slots, { bytes: bytes(4000 + roll(6000)) })],
    delete: gone.map(({ token }) => token),
    records,
    moves,
    removeBlocks,
  }
  const put = records.map(({ token, sealed }) => [toHex(token), digest(sealed)])
  say(`try ${JSON.stringify({ put, gone: gone.map(({ token }) => toHex(token)) })}`)
  await store.commit('things', change)
  say('ack')
  // What is acknowledged stays, whether the kill comes in a change or while space is given back.
  if (roll(3) === 0) await store.reclaim?.()
}
