/** A store whose files were changed by somebody: what `verify` finds. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { EmbeddingError } from '../../src/errors.ts'
import type { EmbeddingStore } from '../../src/he/store.ts'
import type { BlockInfo, StoredRecord } from '../../src/he/types.ts'
import { clustered } from './embeddings-data.ts'
import { type Site, fill, site } from './site.ts'

let one: Site
beforeAll(async () => {
  one = await site()
  for (const name of ['kept', 'other']) {
    await one.holder.createCollection(one.store, { name, dimensions: 16 })
    await fill(one, name, clustered(600, 16, { seed: name.length }))
  }
})
afterAll(() => one[Symbol.asyncDispose]())

interface Changes {
  bytes?: (block: number, bytes: Uint8Array) => Promise<Uint8Array> | Uint8Array
  blocks?: (blocks: readonly BlockInfo[]) => readonly BlockInfo[]
  inBlock?: (records: readonly StoredRecord[]) => readonly StoredRecord[]
  tail?: (records: readonly StoredRecord[]) => readonly StoredRecord[]
}

/** The store as a person with write access, who also made its checksums fit, would have left it. */
function changed(changes: Changes): EmbeddingStore {
  const { store } = one
  return {
    ...store,
    collection: (name) => store.collection(name),
    blocks: async (name) => changes.blocks?.(await store.blocks(name)) ?? store.blocks(name),
    async *readBlocks(name, blocks) {
      for await (const { block, bytes } of store.readBlocks(name, blocks)) {
        yield { block, bytes: (await changes.bytes?.(block, bytes)) ?? bytes }
      }
    },
    inBlock: async (name, block) =>
      changes.inBlock?.(await store.inBlock(name, block)) ?? store.inBlock(name, block),
    tail: async (name) => {
      const tail = await store.tail(name)
      return { ...tail, records: changes.tail?.(tail.records) ?? tail.records }
    },
    async *verify() {},
  }
}

async function faults(store: EmbeddingStore, name = 'kept'): Promise<string[]> {
  const found = []
  for await (const { where, what } of one.holder.verify(store, name))
    found.push(`${where}: ${what}`)
  return found
}

async function bytesOf(name: string, at: number): Promise<Uint8Array> {
  const { block } = (await one.store.blocks(name))[at]!
  for await (const { bytes } of one.store.readBlocks(name, [block])) return bytes
  throw new Error('no such block')
}

describe('verify', () => {
  it('finds nothing in a sound collection, and counts what it looked at', async () => {
    expect(await faults(one.store)).toEqual([])
    expect(await faults(changed({}))).toEqual([])
    const done: number[] = []
    for await (const fault of one.holder.verify(one.store, 'kept', {
      onProgress: (n) => done.push(n),
    })) {
      expect(fault).toBeUndefined()
    }
    expect(done.at(-1)).toBe(600)
  })

  it('finds a changed byte of a block', async () => {
    const found = await faults(changed({ bytes: (_, bytes) => bytes.with(99, bytes[99]! ^ 1) }))
    expect(found).toHaveLength(2)
    expect(found[0]).toMatch(/MAC does not fit/)
  })

  it('finds a block with the bytes of another one, of this collection and of another', async () => {
    for (const name of ['kept', 'other']) {
      const foreign = await bytesOf(name, 1)
      const first = (await one.store.blocks('kept'))[0]!.block
      const found = await faults(
        changed({ bytes: (block, bytes) => (block === first ? foreign : bytes) }),
      )
      expect(found).toHaveLength(1)
      expect(found[0]).toMatch(/MAC does not fit/)
    }
  })

  it('finds blocks that were exchanged with their MACs: their records are others', async () => {
    const [a, b] = await one.store.blocks('kept')
    const found = await faults(
      changed({
        blocks: () => [
          { ...b!, block: a!.block },
          { ...a!, block: b!.block },
        ],
        bytes: (block) => bytesOf('kept', block === a!.block ? 1 : 0),
      }),
    )
    expect(found).toHaveLength(512)
    expect(found[0]).toMatch(/slot 0: the ciphertext holds another vector/)
  })

  it('finds records that were exchanged, changed, or given another token or version of themselves', async () => {
    const exchanged = await faults(
      changed({
        inBlock: ([first, second, ...rest]) => [
          { ...first!, place: second!.place },
          { ...second!, place: first!.place },
          ...rest,
        ],
      }),
    )
    expect(exchanged).toHaveLength(4)
    const other = await faults(
      changed({
        tail: ([first, second, ...rest]) => [{ ...first!, token: second!.token }, ...rest],
      }),
    )
    expect(other).toHaveLength(1)
    expect(other[0]).toMatch(/^tail, version \d+: RECORD_INVALID/)
  })

  it('goes on where records cannot be read', async () => {
    const store = changed({})
    const first = (await one.store.blocks('kept'))[0]!.block
    const broken: EmbeddingStore = {
      ...store,
      inBlock: async (name, block) => {
        if (block !== first) return one.store.inBlock(name, block)
        throw new EmbeddingError('STORE_INVALID', 'a frame is damaged', { where: 'segment 1' })
      },
      tail: () =>
        Promise.reject(
          new EmbeddingError('STORE_INVALID', 'a frame is damaged', { where: 'segment 2' }),
        ),
    }
    const damaged = 'STORE_INVALID: a frame is damaged'
    expect(await faults(broken)).toEqual([
      `block ${first}, its records: ${damaged}`,
      `tail: ${damaged}`,
    ])
  })

  it('finds a collection that was described otherwise', async () => {
    const store = changed({})
    const lie: EmbeddingStore = {
      ...store,
      collection: async (name) => {
        const state = await store.collection(name)
        return { ...state, info: { ...state.info, maxNorm: 2 } }
      },
    }
    await expect(faults(lie)).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
  })
})
