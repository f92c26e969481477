/**
 * Makes a store and changes it in every way: node power-loss-process.ts DIR SEED STEPS. With `replace`
 * for STEPS it writes one segment and then replaces all that is in it, which removes it. It prints, each
 * by one synchronous write, so that a record of the calls has them in order:
 *
 * - `try N` before a step that may change what is there
 * - `done N FINGERPRINT` when it is acknowledged; N is 0 when the store was made
 * - `failed N FINGERPRINT` when the disk failed; the run then goes on, as a service would
 * - `seen 0 FINGERPRINT` when a store that was there is opened
 */
import { existsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

import { toHex } from '../../src/bytes.ts'
import { StorageError } from '../../src/errors.ts'
import { openEmbeddedStore } from '../../src/he/embedded-store.ts'
import type { Change, EmbeddingStore } from '../../src/he/store.ts'
import { fingerprint, LOSS_SEGMENT_BYTES } from './power-loss-check.ts'
import { block, bytes, collect, epochOf, info, placed, record, session } from './store-content.ts'
import { createModel, dice } from './store-model.ts'

const [directory = '', seed = '', steps = ''] = process.argv.slice(2)
const say = (text: string) => writeSync(1, `${text}\n`)
const roll = dice(Number(seed))

// So that the write-ahead log comes into the database, and begins anew, often.
// eslint-disable-next-line @typescript-eslint/unbound-method -- called with the right `this` below
const { exec } = DatabaseSync.prototype
DatabaseSync.prototype.exec = function (this: DatabaseSync, sql: string) {
  exec.call(this, sql.replace(/wal_autocheckpoint = \d+/, 'wal_autocheckpoint = 60'))
}

const open = () => openEmbeddedStore(directory, { create: true, segmentBytes: LOSS_SEGMENT_BYTES })
let store: EmbeddingStore
let number = 0
/** Does a step; whether it was acknowledged. */
async function step(action: () => Promise<unknown>): Promise<boolean> {
  number += 1
  say(`try ${number}`)
  try {
    await action()
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    say(`failed ${number} ${await fingerprint(store)}`)
    return false
  }
  say(`done ${number} ${await fingerprint(store)}`)
  return true
}

const isNew = !existsSync(join(directory, 'index.sqlite'))
store = await open()
say(`${isNew ? 'done' : 'seen'} 0 ${await fingerprint(store)}`)
const name = 'things'
const model = createModel()

const newest = async () => (await store.collection(name)).epochs.at(-1)?.epoch ?? 1

/** What a compaction does: the records of some blocks into a new one, and the old ones go. */
async function compaction(): Promise<Change> {
  const old = (await store.blocks(name)).map((one) => one.block).slice(0, 4)
  const moves = (await collect(store.all(name)))
    .filter(({ place }) => place === undefined || old.includes(place.block))
    .slice(0, 24)
    .map(({ token, version }, slot) => ({ token, version, block: 0, slot }))
  const epoch = await newest()
  return { blocks: [block(24, { epoch, bytes: bytes(2500) })], moves, removeBlocks: old }
}

/** What a rotation does at its end: all under a new epoch, the old one removed. */
async function rotation(): Promise<Change> {
  const epoch = await newest()
  const one = session(epoch + 1)
  const key = { epoch: epoch + 1, session: one.id }
  const records = (await collect(store.all(name))).slice(0, 200).map((old, slot) =>
    record({
      ...key,
      place: slot < 24 ? { block: 0, slot } : undefined,
      instead: { token: old.token, version: old.version },
      filters: old.filters,
    }),
  )
  const numbers = (await store.blocks(name)).map((other) => other.block)
  return {
    epochs: [epochOf(epoch + 1)],
    sessions: [one],
    blocks: [block(24, key)],
    records,
    removeBlocks: numbers,
    removeEpochs: [epoch],
  }
}

async function one(): Promise<void> {
  const kind = roll(20)
  const names = await store.collections()
  if (!names.includes(name)) await step(() => store.createCollection(info(name), epochOf(1)))
  else if (kind === 0) {
    await store[Symbol.asyncDispose]()
    store = await open()
  } else if (kind === 1) await store.reclaim?.()
  else if (kind === 2 || kind === 3) {
    const other = `other-${toHex(bytes(4))}`
    if (!(await step(() => store.createCollection(info(other), epochOf(1))))) return
    const blocks = [block(8, { bytes: bytes(3000) }), block(8, { bytes: bytes(5000) })]
    await step(() =>
      store.commit(other, { blocks, records: [...placed(8), ...placed(4, 1), record()] }),
    )
  } else if (kind === 4) {
    const other = names.find((candidate) => candidate !== name)
    if (other !== undefined) await step(() => store.dropCollection(other))
  } else if (kind < 8) {
    const change = await compaction()
    await step(() => store.commit(name, change))
  } else if (kind === 8) {
    const all = await collect(store.all(name))
    const gone = all.filter(() => roll(3) > 0).map(({ token }) => token)
    await step(() => store.commit(name, { delete: gone }))
  } else if (kind === 9) {
    const change = await rotation()
    await step(() => store.commit(name, change))
  } else {
    const epoch = await newest()
    const { sessions } = await store.collection(name)
    const known = sessions.find((candidate) => candidate.epoch === epoch)
    const of = { epoch, session: known?.id ?? '' }
    const change = model.change(roll)
    const large = bytes(roll(6) === 0 ? 9000 : 400 + roll(1500))
    await step(() =>
      store.commit(name, {
        blocks: (change.blocks ?? []).map((made) => ({ ...made, ...of, bytes: large })),
        records: (change.records ?? []).map(({ instead: _, ...fresh }) => ({ ...fresh, ...of })),
      }),
    )
  }
}
if (steps === 'replace') {
  await step(() => store.createCollection(info(name), epochOf(1)))
  const first = { blocks: [block(8, { bytes: bytes(5000) })], records: placed(8) }
  await step(() => store.commit(name, first))
  const again = { ...first, blocks: [block(8, { bytes: bytes(5000) })], removeBlocks: [1] }
  await step(() => store.commit(name, again))
} else for (let count = 0; count < Number(steps); count += 1) await one()
await store[Symbol.asyncDispose]()
