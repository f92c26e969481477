/** Proof that a collection is what was put in: every byte, MAC, ciphertext, record and token, by the key holder. */
import { KeyriteError } from '../errors.ts'
import { prepareItem } from './item.ts'
import type { CollectionKeys } from './keyring.ts'
import { unpackBlock } from './packing.ts'
import type { MaintenanceOptions } from './rebuild.ts'
import { sessionPart } from './record.ts'
import { throwIfEnded } from './deadline.ts'
import type { EmbeddingStore, StoreFault } from './store.ts'
import type { BlockInfo, StoredRecord } from './types.ts'

const reason = (error: unknown): string => {
  if (error instanceof KeyriteError) return `${error.code}: ${error.message}`
  throw error
}

/**
 * Faults as they are found; none: the collection is sound. Checks the store's own checksums, the MAC of
 * every block, that every slot decrypts to the integers of its record, and that every record opens and
 * has the token of its id. It cannot tell that the whole store was put back to an earlier state.
 */
export async function* verifyCollection(
  store: EmbeddingStore,
  keys: CollectionKeys,
  { signal, onProgress }: MaintenanceOptions = {},
): AsyncGenerator<StoreFault> {
  const { name } = keys.info
  yield* store.verify(name)
  let done = 0

  /** The record's integers, or what is wrong with it. */
  async function integersOf(record: StoredRecord): Promise<Int32Array | string> {
    try {
      return prepareItem(keys.geometry, keys.info, await keys.open(record)).integers
    } catch (error) {
      return reason(error)
    } finally {
      onProgress?.(++done)
    }
  }

  /** The rows of a block, or what is wrong with it. */
  async function rowsOf(info: BlockInfo): Promise<readonly Int32Array[] | string | undefined> {
    try {
      for await (const { bytes } of store.readBlocks(name, [info.block])) {
        if (!(await keys.checkBlock(info, bytes))) {
          return 'the MAC does not fit: changed, or sealed as another block or in another collection'
        }
        const cipher = await keys.cipher(info.epoch)
        return unpackBlock(keys.geometry, await cipher.decryptBlock(bytes))
      }
      return undefined
    } catch (error) {
      return reason(error)
    }
  }

  /** Records, or why they cannot be read: the rest is looked at all the same. */
  async function readable(
    records: Promise<readonly StoredRecord[]>,
  ): Promise<readonly StoredRecord[] | string> {
    try {
      return await records
    } catch (error) {
      return reason(error)
    }
  }

  for (const info of await store.blocks(name)) {
    throwIfEnded(signal)
    const where = `block ${info.block}${sessionPart(info)}`
    const rows = await rowsOf(info)
    if (rows === undefined) continue
    if (typeof rows === 'string') yield { where, what: rows }
    const records = await readable(store.inBlock(name, info.block))
    if (typeof records === 'string') {
      yield { where: `${where}, its records`, what: records }
      continue
    }
    for (const record of records) {
      const slot = record.place?.slot ?? -1
      const integers = await integersOf(record)
      if (typeof integers === 'string') {
        yield { where: `block ${info.block}, slot ${slot}${sessionPart(record)}`, what: integers }
      } else if (typeof rows !== 'string') {
        const row = rows[slot]
        if (row === undefined || !row.every((value, at) => value === integers[at])) {
          yield {
            where: `${where}, slot ${slot}`,
            what: 'the ciphertext holds another vector than the record',
          }
        }
      }
    }
  }
  const tail = await readable(store.tail(name).then(({ records }) => records))
  if (typeof tail === 'string') {
    yield { where: 'tail', what: tail }
    return
  }
  for (const record of tail) {
    throwIfEnded(signal)
    const integers = await integersOf(record)
    if (typeof integers === 'string') {
      yield { where: `tail, version ${record.version}${sessionPart(record)}`, what: integers }
    }
  }
}
