/**
 * What every store promises (`src/he/store.ts`), as one suite that runs on each of them through the
 * interface only.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { toHex } from '../../src/bytes.ts'
import type { Change, EmbeddingStore } from '../../src/he/store.ts'
import type { StoredRecord } from '../../src/he/types.ts'
import {
  block,
  bytes,
  collect,
  contentOf,
  epochOf,
  hex16,
  info,
  placed,
  record,
  session,
  slotsOf,
  token,
} from './store-content.ts'
import { createModel, dice, viewOf } from './store-model.ts'

/** A fresh, empty store. */
export interface StoreUnderTest {
  readonly store: EmbeddingStore
  /** Another handle on the same store, also while the first is open. The suite disposes of it. */
  reopen(): Promise<EmbeddingStore>
  /** Removes everything; called after the handles were disposed of. */
  cleanup(): Promise<void>
}

const NAME = 'things'
const invalid = { name: 'EmbeddingError', code: 'STORE_INVALID' }

/** Runs the suite. */
export function storeConformance(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`${name}: store conformance`, () => {
    let under: StoreUnderTest
    let store: EmbeddingStore
    const handles: EmbeddingStore[] = []
    const reopen = async () => {
      const handle = await under.reopen()
      handles.push(handle)
      return handle
    }
    beforeEach(async () => {
      under = await open()
      store = under.store
      handles.push(store)
      await store.createCollection(info(NAME), epochOf(1))
    })
    afterEach(async () => {
      for (const handle of handles.splice(0)) await handle[Symbol.asyncDispose]()
      await under.cleanup()
    })

    const commit = (change: Change) => store.commit(NAME, change)
    const findOne = async (wanted: Uint8Array) => (await store.find(NAME, [wanted]))[0]
    const versionOf = async (wanted: Uint8Array) => (await findOne(wanted))!.version
    const liveSlots = async (...more: unknown[]) => {
      const args = more as [filter?: undefined]
      const { blocks } = await store.live(NAME, ...args)
      return Object.fromEntries([...blocks].map(([number, bits]) => [number, slotsOf(bits)]))
    }
    /** Everything there is to see, to show that a refused change left nothing behind. */
    const everything = async (handle = store) => ({
      state: await handle.collection(NAME),
      view: await viewOf(handle, NAME),
      sequences: [(await handle.tail(NAME)).sequence, (await handle.live(NAME)).sequence],
    })
    const refused = async (change: Change) => {
      const before = await everything()
      await expect(commit(change)).rejects.toMatchObject(invalid)
      expect(await everything()).toEqual(before)
    }

    describe('collections', () => {
      it('are created, listed, described and dropped', async () => {
        const other = info('another_one-2', { metric: 'squared-l2', maxNorm: 2.5, fields: [] })
        const epoch = epochOf(3)
        await store.createCollection(other, epoch)
        expect(await store.collections()).toEqual(['another_one-2', NAME])
        const state = await store.collection(other.name)
        expect(state).toMatchObject({ info: other, epochs: [epoch], sessions: [] })
        expect(state).toMatchObject({ records: 0, tail: 0, blocks: 0 })
        expect(state.sequence).toBeGreaterThanOrEqual(0)
        await store.dropCollection(other.name)
        expect(await store.collections()).toEqual([NAME])
        await expect(store.collection(other.name)).rejects.toMatchObject({
          name: 'EmbeddingError',
          code: 'COLLECTION_NOT_FOUND',
        })
      })

      it('exist once', async () => {
        const before = await store.collection(NAME)
        await expect(store.createCollection(info(NAME), epochOf(1))).rejects.toMatchObject({
          name: 'EmbeddingError',
          code: 'COLLECTION_EXISTS',
        })
        expect(await store.collection(NAME)).toEqual(before)
      })

      it('do not see each other', async () => {
        await store.createCollection(info('second'), epochOf(1))
        const same = record()
        const first = await commit({ blocks: [block(2)], records: placed(2) })
        await commit({ records: [same] })
        await store.commit('second', { records: [same, record()] })
        const [number] = first.blocks
        expect((await store.collection('second')).records).toBe(2)
        expect(await store.inBlock('second', number!)).toEqual([])
        expect(await store.records('second', [{ block: number!, slot: 0 }])).toEqual([undefined])
        expect(await collect(store.readBlocks('second', [number!]))).toEqual([])
        await expect(store.commit('second', { removeBlocks: [number!] })).rejects.toMatchObject(
          invalid,
        )
        await store.commit('second', { delete: [same.token] })
        expect(await findOne(same.token)).toMatchObject(contentOf(same))
        await store.dropCollection('second')
        expect((await store.collection(NAME)).records).toBe(3)
      })

      it('that were dropped leave nothing to one of the same name', async () => {
        await commit({ blocks: [block(2)], records: [...placed(2), record()] })
        await store.dropCollection(NAME)
        await store.createCollection(info(NAME), epochOf(1))
        expect((await everything()).view).toEqual({ all: [], tail: [], live: [], blocks: [] })
      })

      const wrong: Record<string, Parameters<typeof info>> = {
        'a quote': ["a'; DROP TABLE collections; --"],
        'an empty name': [''],
        'a name of 64 characters': ['a'.repeat(64)],
        'upper case': ['Things'],
        'a leading dash': ['-things'],
        'a line feed at the end': ['things2\n'],
        'a path': ['../things'],
        'an id that is no hex': ['good', { id: 'x'.repeat(32) }],
        'an id that is too short': ['good', { id: 'ab' }],
        'no dimensions': ['good', { dimensions: 0 }],
        'half a dimension': ['good', { dimensions: 1.5 }],
        'an unknown metric': ['good', { metric: 'hamming' as 'cosine' }],
        'a norm that is no number': ['good', { maxNorm: Number.NaN }],
        'a field twice': ['good', { fields: ['a', 'a'] }],
        'a field without a name': ['good', { fields: [''] }],
        'a field with U+0000': ['good', { fields: ['a\0b'] }],
      }
      it.each(Object.keys(wrong))('are refused with %s', async (what) => {
        await expect(
          store.createCollection(info(...wrong[what]!), epochOf(1)),
        ).rejects.toMatchObject({ name: 'EmbeddingError', code: 'COLLECTION_INVALID' })
        expect(await store.collections()).toEqual([NAME])
      })

      it.each([0, -1, 1.5, Number.NaN])('are refused with epoch %s', async (epoch) => {
        await expect(store.createCollection(info('good'), epochOf(epoch))).rejects.toMatchObject({
          code: 'COLLECTION_INVALID',
        })
      })

      it('that do not exist are said to be not found by every method', async () => {
        const missing = { name: 'EmbeddingError', code: 'COLLECTION_NOT_FOUND' }
        for (const unknown of ['nothing', "'; DROP TABLE collections; --", '', '\0', '__proto__']) {
          const calls: Record<string, () => Promise<unknown>> = {
            collection: () => store.collection(unknown),
            dropCollection: () => store.dropCollection(unknown),
            commit: () => store.commit(unknown, { records: [record()] }),
            blocks: () => store.blocks(unknown),
            readBlocks: () => collect(store.readBlocks(unknown, [1])),
            live: () => store.live(unknown),
            tail: () => store.tail(unknown),
            records: () => store.records(unknown, [{ block: 1, slot: 0 }]),
            find: () => store.find(unknown, [token()]),
            all: () => collect(store.all(unknown)),
            inBlock: () => store.inBlock(unknown, 1),
            verify: () => collect(store.verify(unknown)),
          }
          for (const [method, call] of Object.entries(calls)) {
            await expect(call(), `${method}(${JSON.stringify(unknown)})`).rejects.toMatchObject(
              missing,
            )
          }
        }
        expect(await store.collections()).toEqual([NAME])
      })

      it('keep fields whose names are hostile', async () => {
        const fields = ["'; DROP TABLE records; --", '__proto__', 'constructor', '$1', '%s', 'ß"`']
        await store.createCollection(info('hostile', { fields }), epochOf(1))
        expect((await store.collection('hostile')).info.fields).toEqual(fields)
        const filters = Object.fromEntries(fields.map((field) => [field, token()]))
        const one = record({ filters, place: { block: 0, slot: 0 } })
        const { blocks } = await store.commit('hostile', { blocks: [block(1)], records: [one] })
        const [stored] = await store.find('hostile', [one.token])
        expect(Object.entries(stored!.filters).sort()).toEqual(Object.entries(filters).sort())
        for (const field of fields) {
          const filter = [{ field, anyOf: [filters[field]!] }]
          expect([...(await store.live('hostile', filter)).blocks.keys()]).toEqual(blocks)
        }
      })
    })

    describe('a commit', () => {
      it('gives blocks and records back as they were', async () => {
        const content = [block(9), block(3, { bytes: bytes(70_000) })]
        const filters = { colour: token(), size: token() }
        const records = [
          ...placed(9, 0, { filters }),
          ...placed(2, 1),
          record(),
          record({ sealed: bytes(9000) }),
        ]
        const committed = await commit({ blocks: content, records })
        expect(committed).toMatchObject({ deleted: 0, skipped: 0 })
        const [first, second] = committed.blocks
        expect(new Set(committed.blocks).size).toBe(2)

        const found = await store.blocks(NAME)
        expect([...found].sort((a, b) => a.block - b.block)).toEqual(
          [first!, second!].map((number, index) => {
            const { bytes, ...rest } = content[index]!
            return { ...rest, block: number, length: bytes.length, live: index === 0 ? 9 : 2 }
          }),
        )
        const read = await collect(store.readBlocks(NAME, [first!, second!]))
        expect(new Map(read.map(({ block, bytes }) => [block, toHex(bytes)]))).toEqual(
          new Map([
            [first, toHex(content[0]!.bytes)],
            [second, toHex(content[1]!.bytes)],
          ]),
        )
        const stored = await store.find(
          NAME,
          records.map((one) => one.token),
        )
        for (const [index, one] of records.entries()) {
          const place = one.place && {
            block: committed.blocks[one.place.block]!,
            slot: one.place.slot,
          }
          expect(stored[index]).toEqual({
            ...contentOf(one),
            version: stored[index]!.version,
            place,
          })
        }
        const versions = stored.map((one) => one!.version)
        expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b))
        expect(await store.collection(NAME)).toMatchObject({
          records: 13,
          tail: 2,
          blocks: 2,
          sequence: committed.sequence,
        })
        expect(await store.tail(NAME)).toEqual({
          sequence: committed.sequence,
          records: stored.slice(11),
        })
        expect(await store.inBlock(NAME, first!)).toEqual(stored.slice(0, 9))
        expect(await collect(store.verify(NAME))).toEqual([])
      })

      it('increases the sequence', async () => {
        const seen = [(await store.collection(NAME)).sequence]
        const { token } = record()
        const changes: Change[] = [
          { blocks: [block(1)] },
          { records: [record({ token })] },
          { delete: [token] },
          { epochs: [epochOf(2)] },
          { sessions: [session(2)] },
        ]
        for (const change of changes) {
          const { sequence } = await commit(change)
          expect((await store.collection(NAME)).sequence).toBe(sequence)
          expect((await store.live(NAME)).sequence).toBe(sequence)
          seen.push(sequence)
        }
        expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b))
      })

      it('replaces a record of the same token', async () => {
        const first = record({ place: { block: 0, slot: 1 }, filters: { colour: token() } })
        const { blocks } = await commit({ blocks: [block(2)], records: [first] })
        const before = await versionOf(first.token)
        const second = record({ token: first.token })
        expect(await commit({ records: [second] })).toMatchObject({ deleted: 0, skipped: 0 })
        const stored = await findOne(first.token)
        expect(stored).toMatchObject({ ...contentOf(second), place: undefined })
        expect(stored!.version).toBeGreaterThan(before)
        expect((await store.collection(NAME)).records).toBe(1)
        expect(await liveSlots()).toEqual({})
        expect(await store.records(NAME, [{ block: blocks[0]!, slot: 1 }])).toEqual([undefined])
        expect(await store.blocks(NAME)).toMatchObject([{ live: 0, slots: 2 }])
      })

      it('replaces records of the same id under other tokens', async () => {
        const [a, b] = [record(), record({ place: { block: 0, slot: 0 } })]
        await commit({ blocks: [block(1)], records: [a, b] })
        const next = record({ replaces: [a.token, b.token, token()] })
        await commit({ records: [next] })
        expect(await store.find(NAME, [a.token, b.token])).toEqual([undefined, undefined])
        expect(await findOne(next.token)).toMatchObject(contentOf(next))
        expect(await liveSlots()).toEqual({})
      })

      it('re-encrypts a record that is as it was read', async () => {
        const old = record()
        await commit({ records: [old] })
        await commit({ epochs: [epochOf(2)] })
        const instead = { token: old.token, version: await versionOf(old.token) }
        const next = record({ epoch: 2, instead, place: { block: 0, slot: 0 } })
        const change = { blocks: [block(1, { epoch: 2 })], records: [next] }
        const committed = await commit(change)
        expect(committed).toMatchObject({ skipped: 0, deleted: 0 })
        expect(await findOne(old.token)).toBeUndefined()
        expect(await findOne(next.token)).toMatchObject({
          ...contentOf(next),
          place: { block: committed.blocks[0]!, slot: 0 },
        })
        expect((await store.collection(NAME)).records).toBe(1)
      })

      it('re-encrypts under the same token too', async () => {
        const old = record()
        await commit({ records: [old] })
        const instead = { token: old.token, version: await versionOf(old.token) }
        const next = record({ token: old.token, instead })
        expect((await commit({ records: [next] })).skipped).toBe(0)
        expect(await findOne(old.token)).toMatchObject(contentOf(next))
        expect((await commit({ records: [record({ token: old.token, instead })] })).skipped).toBe(1)
        expect(await findOne(old.token)).toMatchObject(contentOf(next))
      })

      it('never puts a re-encryption in the place of a newer record of the same id', async () => {
        const [old, newer, newest] = [record(), record(), record()]
        await commit({ records: [old] })
        await commit({ records: [newer, newest] })
        const instead = { token: old.token, version: await versionOf(old.token) }
        const place = { block: 0, slot: 0 }
        const committed = await commit({
          blocks: [block(1)],
          records: [record({ token: newer.token, instead, place })],
        })
        expect(committed).toMatchObject({ skipped: 1 })
        expect(await findOne(old.token)).toBeUndefined()
        expect(await findOne(newer.token)).toMatchObject(contentOf(newer))
        expect(await liveSlots()).toEqual({})
        // The other way round: the one that is encrypted again is the newer one.
        const later = { token: newest.token, version: await versionOf(newest.token) }
        const next = record({ token: newer.token, instead: later })
        expect((await commit({ records: [next] })).skipped).toBe(0)
        expect(await findOne(newer.token)).toMatchObject(contentOf(next))
        expect(await store.collection(NAME)).toMatchObject({ records: 1, tail: 1 })
        expect(await collect(store.verify(NAME))).toEqual([])
      })

      it('is refused for a collection that was dropped and made again', async () => {
        const { id } = (await store.collection(NAME)).info
        const good = record()
        await commit({ collection: id, records: [good] })
        await expect(commit({ collection: hex16(), records: [record()] })).rejects.toMatchObject({
          code: 'COLLECTION_NOT_FOUND',
        })
        expect(await store.collection(NAME)).toMatchObject({ records: 1 })
      })

      it('skips a re-encryption of a record that was written or deleted meanwhile', async () => {
        const [written, deleted] = [record(), record()]
        await commit({ records: [written, deleted] })
        const expected = await Promise.all(
          [written, deleted].map(async ({ token }) => ({ token, version: await versionOf(token) })),
        )
        const newer = record({ token: written.token })
        await commit({ records: [newer], delete: [deleted.token] })
        const bystander = record()
        await commit({ records: [bystander] })
        const records = expected.map((instead, slot) =>
          record({ instead, place: { block: 0, slot }, replaces: [bystander.token] }),
        )
        const committed = await commit({ blocks: [block(3)], records: [...records.slice(0, 2)] })
        expect(committed.skipped).toBe(2)
        expect(await findOne(written.token)).toMatchObject(contentOf(newer))
        expect(await findOne(bystander.token)).toMatchObject(contentOf(bystander))
        expect(await store.find(NAME, [...records.map((one) => one.token), deleted.token])).toEqual(
          [undefined, undefined, undefined],
        )
        // Their slots are dead.
        expect(await store.blocks(NAME)).toMatchObject([{ slots: 3, live: 0 }])
        expect(await liveSlots()).toEqual({})
      })

      it('moves records into blocks and leaves their versions', async () => {
        const [a, b, c] = [record(), record({ filters: { colour: token() } }), record()]
        await commit({ records: [a, b, c] })
        const stored = await store.find(NAME, [a.token, b.token])
        const moves = stored.map((one, index) => ({
          token: one!.token,
          version: one!.version,
          block: 0,
          slot: 4 - index,
        }))
        const committed = await commit({ blocks: [block(5)], moves })
        const [number] = committed.blocks
        expect(committed.skipped).toBe(0)
        expect(await store.find(NAME, [a.token, b.token])).toEqual([
          { ...stored[0], place: { block: number, slot: 4 } },
          { ...stored[1], place: { block: number, slot: 3 } },
        ])
        expect(await liveSlots()).toEqual({ [number!]: [3, 4] })
        const filter = [{ field: 'colour', anyOf: [b.filters['colour']!] }]
        expect(slotsOf((await store.live(NAME, filter)).blocks.get(number!)!)).toEqual([3])
        expect((await store.tail(NAME)).records).toMatchObject([contentOf(c)])

        // And on, from block to block.
        const again = await commit({
          blocks: [block(1)],
          moves: [{ ...moves[0]!, slot: 0 }],
          removeBlocks: [number!],
        })
        expect(await liveSlots()).toEqual({ [again.blocks[0]!]: [0] })
        expect((await store.tail(NAME)).records.map((one) => toHex(one.token))).toEqual(
          [b, c].map((one) => toHex(one.token)),
        )
      })

      it('skips moves of records that were written or deleted meanwhile', async () => {
        const [a, b] = [record(), record()]
        await commit({ records: [a, b] })
        const [first, second] = await store.find(NAME, [a.token, b.token])
        await commit({ records: [record({ token: a.token })], delete: [b.token] })
        const before = await store.tail(NAME)
        const committed = await commit({
          blocks: [block(3)],
          moves: [first!, second!].map((one, slot) => ({
            token: one.token,
            version: one.version,
            block: 0,
            slot,
          })),
        })
        expect(committed.skipped).toBe(2)
        expect(await store.blocks(NAME)).toMatchObject([{ live: 0 }])
        expect(await store.tail(NAME)).toEqual(before)
      })

      it('does its parts in the order that is written down', async () => {
        const [a, b] = [record(), record()]
        const first = await commit({ blocks: [block(1)], records: [record(), a, b] })
        const old = await store.find(NAME, [a.token, b.token])
        const next = record({ token: a.token })
        // Deleted, then written anew; the move comes too late for both.
        const committed = await commit({
          delete: [a.token, b.token],
          records: [next],
          blocks: [block(2)],
          moves: old.map((one, slot) => ({
            token: one!.token,
            version: one!.version,
            block: 0,
            slot,
          })),
          removeBlocks: first.blocks,
        })
        expect(committed).toMatchObject({ deleted: 2, skipped: 2 })
        expect(await findOne(a.token)).toMatchObject({ ...contentOf(next), place: undefined })
        expect(await findOne(b.token)).toBeUndefined()
      })

      it('deletes, and counts what was there', async () => {
        const records = [...placed(3), record()]
        const { blocks } = await commit({ blocks: [block(3)], records })
        const gone = [records[1]!.token, records[3]!.token, token()]
        expect((await commit({ delete: gone })).deleted).toBe(2)
        expect((await commit({ delete: gone })).deleted).toBe(0)
        expect(await store.collection(NAME)).toMatchObject({ records: 2, tail: 0, blocks: 1 })
        expect(await liveSlots()).toEqual({ [blocks[0]!]: [0, 2] })
        expect(await store.blocks(NAME)).toMatchObject([{ slots: 3, live: 2 }])
        expect((await store.inBlock(NAME, blocks[0]!)).map((one) => one.place!.slot)).toEqual([
          0, 2,
        ])
      })

      it('removes blocks and sends their records to the tail', async () => {
        const filters = { colour: token() }
        const records = [...placed(2, 0, { filters }), ...placed(2, 1), record()]
        const { blocks } = await commit({ blocks: [block(2), block(2)], records })
        const before = await store.find(
          NAME,
          records.map((one) => one.token),
        )
        await commit({ removeBlocks: [blocks[0]!] })
        expect((await store.tail(NAME)).records).toEqual([
          { ...before[0], place: undefined },
          { ...before[1], place: undefined },
          before[4],
        ])
        expect(await liveSlots()).toEqual({ [blocks[1]!]: [0, 1] })
        expect(
          (await store.live(NAME, [{ field: 'colour', anyOf: [filters.colour] }])).blocks.size,
        ).toBe(0)
        expect(await store.blocks(NAME)).toMatchObject([{ block: blocks[1] }])
        expect(await collect(store.readBlocks(NAME, blocks))).toHaveLength(1)
        // Gone is gone: the number is not given again.
        const later = await commit({ blocks: [block(2)] })
        expect(blocks).not.toContain(later.blocks[0])
        await refused({ removeBlocks: [blocks[0]!] })
        await refused({ removeBlocks: [later.blocks[0]!, later.blocks[0]!] })
      })

      it('adds and forgets epochs and sessions', async () => {
        const [second, third] = [epochOf(2), epochOf(4)]
        const one = session(2)
        await commit({ epochs: [second], sessions: [one] })
        expect((await store.collection(NAME)).sessions).toEqual([one])
        // The same again is no contradiction, another check value is.
        await commit({ epochs: [second], sessions: [one] })
        expect((await store.collection(NAME)).epochs).toHaveLength(2)
        await refused({ epochs: [epochOf(2)] })
        await refused({ sessions: [{ ...one, sealedKey: bytes(80) }] })

        const inSession = record({ epoch: 2, session: one.id })
        const { blocks } = await commit({
          blocks: [block(1, { epoch: 2, session: one.id })],
          records: [inSession],
        })
        await refused({ removeEpochs: [2] })
        await commit({ epochs: [third] })
        await refused({ epochs: [epochOf(3)] })
        await refused({ epochs: [epochOf(6), epochOf(5)] })
        const state = await store.collection(NAME)
        expect(state.epochs.map(({ epoch }) => epoch).sort()).toEqual([1, 2, 4])
        expect(state.epochs).toContainEqual(second)
        await refused({ removeEpochs: [2] })
        await commit({ removeBlocks: blocks })
        await refused({ removeEpochs: [2] })
        await commit({ delete: [inSession.token] })
        await commit({ removeEpochs: [2] })
        const left = await store.collection(NAME)
        expect(left.sessions).toEqual([])
        expect(left.epochs.map(({ epoch }) => epoch).sort()).toEqual([1, 4])
        await refused({ removeEpochs: [4] })
        await refused({ removeEpochs: [1, 4] })
        await refused({ removeEpochs: [2] })
        await refused({ records: [record({ epoch: 4, session: one.id })] })
      })

      it('uses epochs and sessions that come with it', async () => {
        const one = session(2)
        await commit({
          epochs: [epochOf(2)],
          sessions: [one],
          blocks: [block(1, { epoch: 2, session: one.id })],
          records: placed(1, 0, { epoch: 2, session: one.id }),
        })
        expect(await store.collection(NAME)).toMatchObject({ records: 1, sessions: [one] })
        // Forgotten in the commit that takes away what had it.
        const [stored] = await collect(store.all(NAME))
        const instead = { token: stored!.token, version: stored!.version }
        await commit({
          epochs: [epochOf(3)],
          records: [record({ epoch: 3, instead })],
          removeBlocks: [stored!.place!.block],
          removeEpochs: [2],
        })
        expect((await store.collection(NAME)).sessions).toEqual([])
      })

      it('forgets sessions that nothing has', async () => {
        const [one, two, three] = [session(), session(), session()]
        const own = record({ session: two.id })
        const { blocks } = await commit({
          sessions: [one, two, three],
          blocks: [block(1, { session: one.id })],
          records: [own],
        })
        const left = async () => (await store.collection(NAME)).sessions.map(({ id }) => id).sort()
        const all = [one.id, two.id, three.id]
        await commit({ removeSessions: [hex16(), ...all] })
        expect(await left()).toEqual([one.id, two.id].sort())
        await commit({ removeSessions: all, removeBlocks: blocks })
        expect(await left()).toEqual([two.id])
        await commit({ delete: [own.token], removeSessions: [one.id] })
        expect(await left()).toEqual([two.id])
        await commit({ removeSessions: all })
        expect(await left()).toEqual([])
        // A writer that is still at work says again what it writes in.
        await refused({ records: [record({ session: two.id })] })
        await commit({ sessions: [two], records: [record({ session: two.id })] })
        expect(await left()).toEqual([two.id])
      })

      it('deletes a record only while it is what was read, when asked so', async () => {
        const [tail, sealed, other] = [record(), record({ place: { block: 0, slot: 0 } }), record()]
        await commit({ blocks: [block(1)], records: [tail, sealed, other] })
        const read = await Promise.all(
          [tail, sealed, other].map(async ({ token: wanted }) => {
            return { token: wanted, version: await versionOf(wanted) }
          }),
        )
        await commit({ records: [record({ token: other.token })] })
        const change = { deleteUnchanged: [...read, { token: token(), version: 1 }] }
        expect(await commit(change)).toMatchObject({ deleted: 2, skipped: 2 })
        expect(await store.collection(NAME)).toMatchObject({ records: 1, tail: 1 })
        expect(await liveSlots()).toEqual({})
        expect((await findOne(other.token))?.version).toBeGreaterThan(read[2]!.version)
      })

      it('takes nothing new under an older epoch, whose writers cannot name the tokens of the newer', async () => {
        const [one, old] = [session(1), record()]
        await commit({ sessions: [one], records: [old] })
        await commit({ epochs: [epochOf(2)] })
        const late: Record<string, Change> = {
          'a record': { records: [record({ epoch: 2 }), record()] },
          'a record of a session': { records: [record({ session: one.id })] },
          'a block': { blocks: [block(1, { epoch: 2 }), block(1)] },
          'a session': { sessions: [session(1)] },
          'what comes with a newer one': { epochs: [epochOf(3)], records: [record({ epoch: 2 })] },
        }
        for (const [what, change] of Object.entries(late)) {
          const before = await everything()
          await expect(commit(change), what).rejects.toMatchObject({ code: 'EPOCH_OUTDATED' })
          expect(await everything(), what).toEqual(before)
        }
        // What is there may still move and go.
        const move = { token: old.token, version: await versionOf(old.token), block: 0, slot: 0 }
        await commit({ blocks: [block(1, { epoch: 2 })], moves: [move] })
        expect(await commit({ delete: [old.token] })).toMatchObject({ deleted: 1 })
      })

      it('is refused as a whole when it contradicts itself or the store', async () => {
        const old = record()
        const { blocks } = await commit({
          blocks: [block(2)],
          records: [old, ...placed(1)],
        })
        const expected = { token: old.token, version: await versionOf(old.token) }
        const known = await store.blocks(NAME)
        const good = record()
        const at = (slot: number, index = 0) => ({ place: { block: index, slot } })
        const changes: Record<string, Change> = {
          'a token of 15 bytes': { records: [good, record({ token: bytes(15) })] },
          'an empty token': { records: [good, record({ token: bytes(0) })] },
          'a record read, and deleted twice': {
            records: [good],
            deleteUnchanged: [expected, expected],
          },
          'a record deleted and moved': {
            blocks: [block(1)],
            deleteUnchanged: [expected],
            moves: [{ ...expected, block: 0, slot: 0 }],
          },
          'a read record of 17 bytes': {
            records: [good],
            deleteUnchanged: [{ token: bytes(17), version: 1 }],
          },
          'a deletion of 17 bytes': { records: [good], delete: [bytes(17)] },
          'a token twice': { records: [good, record({ token: good.token })] },
          'an unknown field': { records: [good, record({ filters: { weight: token() } })] },
          'an inherited field': { records: [good, record({ filters: { toString: token() } })] },
          'a filter of 3 bytes': { records: [good, record({ filters: { colour: bytes(3) } })] },
          'an unknown epoch': { records: [good, record({ epoch: 2 })] },
          'half an epoch': { records: [good, record({ epoch: 1.5 })] },
          'an unknown session': { records: [good, record({ session: hex16() })] },
          'an epoch of nothing': { records: [good, record({ epoch: Number.NaN })] },
          'a block of an unknown epoch': { blocks: [block(1, { epoch: 2 })], records: [good] },
          'a block of an unknown session': {
            blocks: [block(1, { session: hex16() })],
            records: [good],
          },
          'a session of an unknown epoch': { sessions: [session(2)], records: [good] },
          'a session with a short id': {
            sessions: [{ ...session(), id: 'ab' }],
            records: [good],
          },
          'an epoch with a bad check value': {
            epochs: [{ epoch: 2, check: 'X' }],
            records: [good],
          },
          'a slot out of range': { blocks: [block(2)], records: [good, record(at(2))] },
          'a slot below zero': { blocks: [block(2)], records: [good, record(at(-1))] },
          'half a slot': { blocks: [block(2)], records: [good, record(at(0.5))] },
          'a block out of range': { blocks: [block(2)], records: [good, record(at(0, 1))] },
          'a place without blocks': { records: [good, record(at(0))] },
          'two records for a slot': {
            blocks: [block(2)],
            records: [good, record(at(1)), record(at(1))],
          },
          'a record and a move for a slot': {
            blocks: [block(2)],
            records: [good, record(at(1))],
            moves: [{ ...expected, block: 0, slot: 1 }],
          },
          'a move out of range': {
            blocks: [block(2)],
            records: [good],
            moves: [{ ...expected, block: 0, slot: 2 }],
          },
          'a move into an old block': {
            records: [good],
            moves: [{ ...expected, block: blocks[0]!, slot: 1 }],
          },
          'a record moved twice': {
            blocks: [block(2)],
            records: [good],
            moves: [
              { ...expected, block: 0, slot: 0 },
              { ...expected, block: 0, slot: 1 },
            ],
          },
          'a record moved and re-encrypted': {
            blocks: [block(2)],
            records: [record({ instead: expected })],
            moves: [{ ...expected, block: 0, slot: 0 }],
          },
          'a record re-encrypted twice': {
            records: [record({ instead: expected }), record({ instead: expected })],
          },
          'a record that replaces one of this change': {
            records: [good, record({ replaces: [good.token] })],
          },
          'a short replaced token': { records: [good, record({ replaces: [bytes(4)] })] },
          'a uid that is taken': { blocks: [block(1, { uid: known[0]!.uid })], records: [good] },
          'a uid twice': { blocks: [block(1), block(1)].fill(block(1)), records: [good] },
          'a uid that is no hex': { blocks: [block(1, { uid: 'Z'.repeat(32) })], records: [good] },
          'a MAC of 31 bytes': { blocks: [block(1, { mac: bytes(31) })], records: [good] },
          'a block without bytes': {
            blocks: [block(1, { bytes: bytes(0) })],
            records: [good],
          },
          'a block without slots': { blocks: [block(0)], records: [good] },
          'half a slot in a block': { blocks: [block(1, { slots: 1.5 })], records: [good] },
          'a block that is not there': { records: [good], removeBlocks: [blocks[0]! + 1000] },
          'a block number of nothing': { records: [good], removeBlocks: [Number.NaN] },
          'an epoch in use': { records: [good], removeEpochs: [1] },
        }
        for (const [what, change] of Object.entries(changes)) {
          const before = await everything()
          await expect(commit(change), what).rejects.toMatchObject(invalid)
          expect(await everything(), what).toEqual(before)
        }
        expect(await collect(store.verify(NAME))).toEqual([])
        // And writing goes on.
        await commit({ records: [good] })
        expect(await findOne(good.token)).toMatchObject(contentOf(good))
      })

      it('takes 10,000 records at once', async () => {
        const slots = 2000
        const content = Array.from({ length: 4 }, () => block(slots))
        const records = [
          ...content.flatMap((_, index) => placed(slots, index)),
          ...Array.from({ length: 2000 }, () => record()),
        ]
        const { blocks } = await commit({ blocks: content, records })
        expect(await store.collection(NAME)).toMatchObject({ records: 10_000, tail: 2000 })
        const { blocks: live } = await store.live(NAME)
        expect([...live.values()].map((bits) => slotsOf(bits).length)).toEqual(
          blocks.map(() => slots),
        )
        const all = await collect(store.all(NAME))
        expect(all.map((one) => toHex(one.sealed))).toEqual(records.map((one) => toHex(one.sealed)))
        expect((await store.tail(NAME)).records).toEqual(all.slice(8000))
        const tokens = records.map((one) => one.token)
        expect(await store.find(NAME, tokens)).toEqual(all)
        expect((await commit({ delete: tokens.slice(0, 9999) })).deleted).toBe(9999)
        expect((await store.collection(NAME)).records).toBe(1)
      })

      it('many at once are done one after the other', async () => {
        const records = Array.from({ length: 20 }, () => record())
        const done = await Promise.all(records.map((one) => commit({ records: [one] })))
        expect(new Set(done.map((one) => one.sequence)).size).toBe(20)
        expect(
          await store.find(
            NAME,
            records.map((one) => one.token),
          ),
        ).toMatchObject(records.map(contentOf))
      })
    })

    describe('live slots', () => {
      /** Two blocks whose slots carry a colour and a size each. */
      const fill = async () => {
        const colours = [token(), token()]
        const sizes = [token(), token(), token()]
        const records = [0, 1].flatMap((index) =>
          Array.from({ length: 11 }, (_, slot) => {
            const colour = slot < 10 ? { colour: colours[slot % 2]! } : {}
            return record({
              place: { block: index, slot },
              filters: { ...colour, size: sizes[(slot + index) % 3]! },
            })
          }),
        )
        const { blocks } = await commit({ blocks: [block(11), block(13)], records })
        return { colours, sizes, records, first: blocks[0]!, second: blocks[1]! }
      }

      it('have one bit each, the first the lowest, and none beyond the slots in use', async () => {
        const { first, second } = await fill()
        const { blocks } = await store.live(NAME)
        expect([...blocks.get(first)!]).toEqual([0b1111_1111, 0b0000_0111])
        expect([...blocks.get(second)!]).toEqual([0b1111_1111, 0b0000_0111])
      })

      it('are those that every condition matches', async () => {
        const { colours, sizes, records, first, second } = await fill()
        const slots = async (filter: Parameters<EmbeddingStore['live']>[1]) =>
          Object.fromEntries(
            [...(await store.live(NAME, filter)).blocks].map(([n, bits]) => [n, slotsOf(bits)]),
          )
        const colour = (...anyOf: Uint8Array[]) => ({ field: 'colour', anyOf })
        const size = (...anyOf: Uint8Array[]) => ({ field: 'size', anyOf })
        const even = [0, 2, 4, 6, 8]
        expect(await slots([])).toEqual(await slots(undefined))
        expect(await slots([colour(colours[0]!)])).toEqual({ [first]: even, [second]: even })
        expect(await slots([colour(colours[0]!, token())])).toEqual({
          [first]: even,
          [second]: even,
        })
        expect(await slots([colour(...colours)])).toEqual({
          [first]: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
          [second]: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        })
        expect(await slots([colour(colours[0]!), size(sizes[0]!)])).toEqual({
          [first]: [0, 6],
          [second]: [2, 8],
        })
        expect(await slots([size(sizes[0]!, sizes[1]!), colour(colours[1]!)])).toEqual({
          [first]: [1, 3, 7, 9],
          [second]: [3, 5, 9],
        })
        // A token of one field says nothing about another.
        expect(await slots([size(colours[0]!)])).toEqual({})
        expect(await slots([colour(token())])).toEqual({})
        expect(await slots([colour()])).toEqual({})
        expect(await slots([colour(colours[0]!), colour(colours[1]!)])).toEqual({})

        // What is deleted or replaced is matched no more.
        const dead = records.slice(0, 11).map((one) => one.token)
        await commit({ delete: dead, records: [record({ token: records[11]!.token })] })
        expect(await slots([colour(colours[0]!)])).toEqual({ [second]: [2, 4, 6, 8] })
      })

      it('are given by partition', async () => {
        const content = Array.from({ length: 9 }, () => block(1))
        const records = content.flatMap((_, index) =>
          placed(1, index, { filters: { colour: bytes(16).fill(7) } }),
        )
        const { blocks } = await commit({ blocks: content, records })
        const filter = [{ field: 'colour', anyOf: [bytes(16).fill(7)] }]
        for (const wanted of [undefined, filter]) {
          for (const of of [1, 2, 4]) {
            for (let index = 0; index < of; index += 1) {
              const expected = blocks.filter((number) => number % of === index)
              const { blocks: live } = await store.live(NAME, wanted, { index, of })
              expect([...live.keys()].sort((a, b) => a - b)).toEqual(expected)
              const infos = await store.blocks(NAME, { index, of })
              expect(infos.map((one) => one.block).sort((a, b) => a - b)).toEqual(expected)
            }
          }
        }
      })

      it('are refused for a filter or a partition that is none', async () => {
        const refusal = { name: 'EmbeddingError', code: 'FILTER_INVALID' }
        for (const filter of [
          [{ field: 'weight', anyOf: [token()] }],
          [{ field: '__proto__', anyOf: [token()] }],
          [{ field: "colour' OR 1=1 --", anyOf: [token()] }],
          [{ field: 'colour', anyOf: [bytes(5)] }],
        ]) {
          await expect(store.live(NAME, filter)).rejects.toMatchObject(refusal)
        }
        for (const partition of [
          { index: 0, of: 0 },
          { index: 2, of: 2 },
          { index: -1, of: 2 },
          { index: 0.5, of: 2 },
          { index: 0, of: Number.NaN },
        ]) {
          await expect(store.live(NAME, undefined, partition)).rejects.toMatchObject(invalid)
          await expect(store.blocks(NAME, partition)).rejects.toMatchObject(invalid)
        }
      })
    })

    describe('the tail', () => {
      it('has the sequence of the last change that changed it', async () => {
        const sequence = async () => {
          const { sequence } = await store.tail(NAME)
          expect((await store.collection(NAME)).tailSequence).toBe(sequence)
          return sequence
        }
        const first = await sequence()
        expect(first).toBeLessThanOrEqual((await store.collection(NAME)).sequence)
        const same = async (change: Change) => {
          const before = await sequence()
          await commit(change)
          expect(await sequence()).toBe(before)
        }
        const other = async (change: Change) => {
          const committed = await commit(change)
          expect(await sequence()).toBe(committed.sequence)
          return committed
        }
        const [a, b] = [record(), record()]
        const move = async (wanted: Uint8Array, slot = 0) => ({
          token: wanted,
          version: await versionOf(wanted),
          block: 0,
          slot,
        })
        await same({ blocks: [block(3)], records: placed(2) })
        await same({ sessions: [session()] })
        await same({ delete: [token()] })
        await other({ records: [a] })
        await other({ records: [b] })
        await other({ records: [record({ token: a.token })] })
        await other({ delete: [b.token] })
        await same({ delete: [b.token] })
        await same({ blocks: [block(1)], moves: [{ ...(await move(a.token)), version: 0 }] })
        const { blocks } = await other({ blocks: [block(1)], moves: [await move(a.token)] })
        // From block to block.
        const next = await (async () => {
          const change = { blocks: [block(2)], moves: [await move(a.token, 1)] }
          const before = await sequence()
          const committed = await commit(change)
          expect(await sequence()).toBe(before)
          return committed
        })()
        await same({ removeBlocks: blocks })
        await other({ removeBlocks: next.blocks })
        await other({ blocks: [block(1)], records: placed(1, 0, { token: a.token }) })
        await other({ records: [record({ token: a.token })] })
        await same({ epochs: [epochOf(2)] })
      })

      it('is ordered by version', async () => {
        const records = Array.from({ length: 30 }, () => record())
        for (const one of records) await commit({ records: [one] })
        await commit({ records: [record({ token: records[3]!.token })] })
        const { records: tail } = await store.tail(NAME)
        const order = [...records.slice(0, 3), ...records.slice(4), records[3]!]
        expect(tail.map((one) => toHex(one.token))).toEqual(order.map((one) => toHex(one.token)))
      })
    })

    describe('reading', () => {
      it('keeps the order that was asked for, and says what is not there', async () => {
        const records = [...placed(5), record()]
        const { blocks } = await commit({ blocks: [block(6)], records })
        const [number] = blocks
        const at = (slot: number, block = number!) => ({ block, slot })
        const places = [
          at(4),
          at(5),
          at(0),
          at(0),
          at(6),
          at(-1),
          at(0, number! + 99),
          at(0, 0),
          at(1.5),
          at(2 ** 60),
        ]
        const stored = await store.records(NAME, places)
        expect(stored.map((one) => one && toHex(one.token))).toEqual([
          toHex(records[4]!.token),
          undefined,
          toHex(records[0]!.token),
          toHex(records[0]!.token),
          ...Array.from({ length: 6 }, () => undefined),
        ])
        const wanted = [records[5]!, records[1]!, records[5]!]
        const found = await store.find(NAME, [...wanted.map((one) => one.token), token()])
        expect(found.slice(0, 3)).toMatchObject(wanted.map(contentOf))
        expect(found[3]).toBeUndefined()
        expect(await store.records(NAME, [])).toEqual([])
        expect(await store.find(NAME, [])).toEqual([])
        await expect(store.find(NAME, [bytes(3)])).rejects.toMatchObject(invalid)
        expect(await store.inBlock(NAME, number! + 99)).toEqual([])
        expect(await collect(store.readBlocks(NAME, []))).toEqual([])
        expect(await collect(store.readBlocks(NAME, [number! + 99, 0.5, -1]))).toEqual([])
      })

      it('goes through all records by version, from any point, of one epoch', async () => {
        const records = Array.from({ length: 40 }, (_, n) => record({ epoch: n < 20 ? 1 : 2 }))
        await commit({ records: records.slice(0, 20) })
        await commit({ epochs: [epochOf(2)], records: records.slice(20) })
        const all = await collect(store.all(NAME))
        expect(all.map(contentOf)).toEqual(records.map(contentOf))
        const { version } = all[27]!
        expect(await collect(store.all(NAME, { after: version }))).toEqual(all.slice(28))
        const second = all.filter((one) => one.epoch === 2)
        expect(second).toHaveLength(20)
        expect(await collect(store.all(NAME, { epoch: 2 }))).toEqual(second)
        expect(await collect(store.all(NAME, { epoch: 2, after: version }))).toEqual(
          second.filter((one) => one.version > version),
        )
        expect(await collect(store.all(NAME, { epoch: 7 }))).toEqual([])
        expect(await collect(store.all(NAME, { after: all.at(-1)!.version }))).toEqual([])
      })

      it('sees each record that is not written meanwhile once', async () => {
        const records = Array.from({ length: 1500 }, () => record())
        await commit({ records })
        const seen: StoredRecord[] = []
        const changed = new Set<string>()
        for await (const one of store.all(NAME)) {
          seen.push(one)
          if (seen.length % 100 !== 0 || seen.length > 1000) continue
          // One is written, one deleted, and some go into a block.
          const [write, remove, ...move] = [1, 700, 20, 400, 900].map(
            (ahead) => records[(seen.length + ahead) % records.length]!,
          )
          for (const { token } of [write!, remove!]) changed.add(toHex(token))
          const there = await store.find(
            NAME,
            move.map(({ token }) => token),
          )
          const moves = there.flatMap((one, slot) =>
            one === undefined ? [] : [{ token: one.token, version: one.version, block: 0, slot }],
          )
          await commit({
            blocks: [block(3)],
            moves,
            records: [record({ token: write!.token })],
            delete: [remove!.token],
          })
        }
        const times = new Map<string, number>()
        for (const { token } of seen) times.set(toHex(token), (times.get(toHex(token)) ?? 0) + 1)
        const untouched = records.map(({ token }) => toHex(token)).filter((t) => !changed.has(t))
        expect(untouched.length).toBeGreaterThan(1000)
        expect(untouched.filter((one) => times.get(one) !== 1)).toEqual([])
        expect(seen.map(({ version }) => version)).toEqual(
          seen.map(({ version }) => version).sort((a, b) => a - b),
        )
      })

      it('leaves out a block that is removed meanwhile', async () => {
        const content = Array.from({ length: 12 }, () => block(1, { bytes: bytes(200_000) }))
        const { blocks } = await commit({ blocks: content })
        const left = new Set(blocks)
        let removed = false
        for await (const { block: number, bytes } of store.readBlocks(NAME, blocks)) {
          expect(left.delete(number)).toBe(true)
          expect(toHex(bytes)).toBe(toHex(content[blocks.indexOf(number)]!.bytes))
          if (!removed) {
            removed = true
            await commit({ removeBlocks: [...left] })
          }
        }
        expect(removed).toBe(true)
        expect(await store.blocks(NAME)).toHaveLength(1)
      })

      it('can be left early', async () => {
        const { blocks } = await commit({
          blocks: [block(1), block(1)],
          records: Array.from({ length: 5 }, () => record()),
        })
        for await (const one of store.all(NAME)) {
          expect(one.version).toBeGreaterThan(0)
          break
        }
        for await (const one of store.readBlocks(NAME, blocks)) {
          expect(blocks).toContain(one.block)
          break
        }
        await commit({ records: [record()] })
      })
    })

    describe('two handles', () => {
      it('see what either has committed', async () => {
        const reader = await reopen()
        const records = [...placed(3), record()]
        const committed = await commit({ blocks: [block(3)], records })
        expect(await everything(reader)).toEqual(await everything())
        await commit({ delete: [records[0]!.token], removeBlocks: committed.blocks })
        expect(await everything(reader)).toEqual(await everything())
        expect((await reader.tail(NAME)).records).toHaveLength(3)
        await store.createCollection(info('later'), epochOf(1))
        expect(await reader.collections()).toEqual(['later', NAME])
      })

      it('write one after the other, or the second is told that it is locked', async () => {
        await commit({ records: [record()] })
        const second = await reopen()
        const mine = record()
        const outcome = await second.commit(NAME, { records: [mine] }).then(
          () => 'done',
          (error: unknown) => error,
        )
        if (outcome !== 'done') {
          expect(outcome).toMatchObject({ name: 'StorageError', code: 'LOCKED' })
          expect(outcome).toHaveProperty('hint')
          expect(await findOne(mine.token)).toBeUndefined()
        }
        await commit({ records: [record()] })
        await store[Symbol.asyncDispose]()
        const third = await reopen()
        await third.commit(NAME, { records: [mine] })
        const [stored] = await third.find(NAME, [mine.token])
        expect(stored).toMatchObject(contentOf(mine))
      })

      it('keep everything when they are closed', async () => {
        await commit({ blocks: [block(4)], records: [...placed(4), record()] })
        const before = await everything()
        await store[Symbol.asyncDispose]()
        await store[Symbol.asyncDispose]()
        await expect(store.collection(NAME)).rejects.toMatchObject({ code: 'CLOSED' })
        await expect(store.commit(NAME, {})).rejects.toMatchObject({ code: 'CLOSED' })
        await expect(collect(store.all(NAME))).rejects.toMatchObject({ code: 'CLOSED' })
        const again = await reopen()
        expect(await everything(again)).toEqual(before)
        expect(await collect(again.verify(NAME))).toEqual([])
      })
    })

    it.each([1, 2, 3, 4])('behaves as the model under random changes (seed %i)', async (seed) => {
      const roll = dice(seed)
      const model = createModel()
      for (let step = 0; step < 40; step += 1) {
        const change = model.change(roll)
        const before = (await store.tail(NAME)).sequence
        const committed = await commit(change)
        const { tailChanged, ...counts } = await model.apply(store, NAME, change, committed.blocks)
        expect(committed).toMatchObject(counts)
        expect(await viewOf(store, NAME)).toEqual(model.view())
        const colour = model.colours[roll(3)]!
        expect((await viewOf(store, NAME, colour)).live).toEqual(model.view(colour).live)
        const { sequence } = await store.tail(NAME)
        expect(sequence).toBe(tailChanged ? committed.sequence : before)
      }
      expect(model.rows.size).toBeGreaterThan(20)
      expect(await collect(store.verify(NAME))).toEqual([])
    })
  })
}
