/** Whoever has a kit and the store can seal anything: what it does to searches, and how it is taken away. */
import { randomBytes } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { toHex } from '../../src/bytes.ts'
import { newSession, parseIngestKit } from '../../src/he/ingest-kit.ts'
import { PUBLIC_KEY_PARAMETER_SET } from '../../src/he/parameters.ts'
import { createIngest } from '../../src/he/public-ingest.ts'
import { sealRecord } from '../../src/he/record.ts'
import { idToken } from '../../src/he/tokens.ts'
import type { StoredRecord } from '../../src/he/types.ts'
import { clustered } from './embeddings-data.ts'
import { type Site, fill, site } from './site.ts'

let one: Site
beforeAll(async () => {
  one = await site()
})
afterAll(() => one[Symbol.asyncDispose]())

const rows = clustered(600, 16, { seed: 3, centres: 5 })

/** 300 vectors of the key holder, 300 of an ingest with a kit, and `bad` records under a session of their own. */
async function attacked(name: string) {
  const { holder, store } = one
  await holder.createCollection(store, {
    name,
    dimensions: 16,
    parameterSet: PUBLIC_KEY_PARAMETER_SET,
  })
  await fill(one, name, rows.slice(0, 300))
  const kitBytes = await holder.ingestKit(store, name)
  await using good = await createIngest(kitBytes, store)
  const items = rows.slice(300).map((vector, at) => ({ id: `k${at}`, vector }))
  await good.insert(items)
  const kit = parseIngestKit(kitBytes)
  const { session, recordKey } = await newSession(kit)
  const token = (id: string) => idToken(kit.idToken, kit.info.id, id)
  const record = (id: string, vector: ArrayLike<number>, sealed?: Uint8Array) => {
    const head = { epoch: 1, session: session.id, token: token(id) }
    const context = { collectionId: kit.info.id, ...head }
    const item = { id, vector: Float32Array.from(vector) }
    return { ...head, filters: {}, sealed: sealed ?? sealRecord(recordKey, context, item) }
  }
  await store.commit(name, {
    sessions: [session],
    records: [
      record('sound', rows[0]!),
      record('long', [...rows[0]!, 1]),
      record('noise', [], randomBytes(200)),
    ],
  })
  const search = () => holder.search(one.scorer, name, rows[0]!, { k: 3 })
  const [other] = (await store.collection(name)).sessions.filter(({ id }) => id !== session.id)
  const count = async () => (await store.collection(name)).records
  const faults = async () => {
    const found: string[] = []
    for await (const { where, what } of holder.verify(store, name)) found.push(`${where}: ${what}`)
    return found
  }
  return { name, session: session.id, good: other!.id, search, count, faults, token, record }
}

describe('records that nobody can use', () => {
  it('stop a search, which names their session; deleting the invalid ones mends it', async () => {
    const at = await attacked('invalid')
    const where = expect.stringContaining(`session ${at.session}`) as unknown
    const hint = expect.stringContaining('delete --invalid') as unknown
    await expect(at.search()).rejects.toMatchObject({ code: 'RECORD_INVALID', where, hint })
    const found = await at.faults()
    expect(found).toHaveLength(2)
    for (const fault of found) expect(fault).toContain(`session ${at.session}: RECORD_INVALID`)
    const seen: number[] = []
    const onProgress = (done: number) => void seen.push(done)
    expect(await one.holder.purge(one.store, at.name, { invalid: true, onProgress })).toBe(2)
    expect(seen.at(-1)).toBe(603)
    expect(await at.count()).toBe(601)
    expect((await at.search()).map(({ id }) => id)).toContain('sound')
    expect(await at.faults()).toEqual([])
    expect(await one.holder.purge(one.store, at.name, { invalid: true })).toBe(0)
  })

  it('a session that is not sealed to the key holder is invalid, too', async () => {
    const at = await attacked('unsealed')
    const id = toHex(randomBytes(16))
    await one.store.commit(at.name, {
      sessions: [{ id, epoch: 1, sealedKey: randomBytes(80) }],
      records: [{ ...at.record('lost', rows[1]!), session: id }],
    })
    expect(await one.holder.purge(one.store, at.name, { invalid: true, session: id })).toBe(1)
    expect(await at.count()).toBe(603)
    expect(await one.holder.purge(one.store, at.name, { invalid: true })).toBe(2)
    expect(await at.faults()).toEqual([])
  })
})

describe('a session', () => {
  it('is taken away with all its records and blocks, and nothing else', async () => {
    const at = await attacked('session')
    const purge = (session: string) => one.holder.purge(one.store, at.name, { session })
    const blocks = async () => (await one.store.blocks(at.name)).map(({ session }) => session)
    expect(await blocks()).toEqual(['', at.good])
    expect(await purge(at.session)).toBe(3)
    expect(await at.faults()).toEqual([])
    expect(await purge(at.good)).toBe(300)
    expect(await blocks()).toEqual([''])
    expect(await one.store.collection(at.name)).toMatchObject({ records: 300, sessions: [] })
    expect((await at.search())[0]).toMatchObject({ id: 'v0' })
    expect(await at.faults()).toEqual([])
    const unknown = { code: 'SESSION_UNKNOWN' }
    await expect(purge(at.good)).rejects.toMatchObject(unknown)
    // The empty text is the key holder's own: not by mistake.
    await expect(purge('')).rejects.toMatchObject(unknown)
    await expect(one.holder.purge(one.store, at.name, {})).rejects.toMatchObject(unknown)
    expect(await at.count()).toBe(300)
  })

  it('a record that is written again while it is looked for stays', async () => {
    const at = await attacked('meanwhile')
    await using ingest = await one.holder.ingest(one.store, at.name)
    let written = false
    const slow = {
      ...one.store,
      async *all(...args: Parameters<typeof one.store.all>): AsyncGenerator<StoredRecord> {
        for await (const record of one.store.all(...args)) {
          yield record
          if (record.session !== at.session || written) continue
          written = true
          await ingest.insert([{ id: 'sound', vector: rows[2]! }])
        }
      },
    }
    expect(await one.holder.purge(slow, at.name, { session: at.session })).toBe(2)
    expect(written).toBe(true)
    const [kept] = await one.holder.get(one.store, at.name, ['sound'])
    expect(kept?.vector).toEqual(rows[2])
    expect(await at.count()).toBe(601)
  })

  it('is forgotten by the compaction that rewrites what it made; its ingest may go on', async () => {
    const { holder, store } = one
    const create = { dimensions: 16, parameterSet: PUBLIC_KEY_PARAMETER_SET }
    await holder.createCollection(store, { name: 'forgotten', ...create })
    await using ingest = await createIngest(await holder.ingestKit(store, 'forgotten'), store)
    await ingest.insert(rows.slice(0, 300).map((vector, at) => ({ id: `v${at}`, vector })))
    expect((await store.collection('forgotten')).sessions).toHaveLength(1)
    await holder.compact(store, 'forgotten')
    expect((await store.collection('forgotten')).sessions).toHaveLength(0)
    await ingest.insert([{ id: 'v0', vector: rows[9]! }])
    expect((await store.collection('forgotten')).sessions).toHaveLength(1)
    const [first] = await holder.get(store, 'forgotten', ['v0'])
    expect(first?.vector).toEqual(rows[9])
  })
})
