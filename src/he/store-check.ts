/**
 * What can be said against a collection, a change or a filter without looking into a store. Both stores
 * begin with it, so that they refuse the same things with the same words.
 */
import { toHex } from '../bytes.ts'
import { EmbeddingError, type ErrorDetail } from '../errors.ts'
import type { Change, NewRecord, Partition } from './store.ts'
import {
  type BlockContent,
  type CollectionInfo,
  type Filter,
  type IngestSession,
  type KeyEpoch,
  TOKEN_BYTES,
} from './types.ts'

const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/
const HEX_16 = /^[0-9a-f]{32}$/
const METRICS: readonly string[] = ['cosine', 'inner-product', 'squared-l2']
const MAC_BYTES = 32
/** Above what any parameter set packs into a block; bounds the bitmaps. */
const MAX_SLOTS = 65_536
const MAX_FIELDS = 256
const MAX_FIELD_CHARACTERS = 128

/** The error of a change that contradicts itself or the store. */
export const invalidChange = (message: string, detail: ErrorDetail = {}): EmbeddingError =>
  new EmbeddingError('STORE_INVALID', message, detail)

/** The error of a collection that is not there. The name is a caller's text and is shown as JSON. */
export const collectionNotFound = (name: string): EmbeddingError =>
  new EmbeddingError('COLLECTION_NOT_FOUND', 'there is no such collection', {
    where: `collection ${JSON.stringify(name.slice(0, 80))}`,
    hint: 'keyrite embeddings state, and collections(), list the names',
  })

/** The error of a name that is taken. */
export const collectionExists = (name: string): EmbeddingError =>
  new EmbeddingError('COLLECTION_EXISTS', 'there is a collection of this name', {
    where: `collection ${name}`,
    hint: 'take another name, or drop the collection first',
  })

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) > 0
const isText = (value: unknown): value is string => typeof value === 'string'
const isBytes = (value: unknown, length?: number): value is Uint8Array =>
  value instanceof Uint8Array && (length === undefined || value.length === length)
const isIndex = (value: unknown, below: number): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < below

function checkField(field: unknown, index: number): void {
  const good =
    isText(field) &&
    field.length > 0 &&
    field.length <= MAX_FIELD_CHARACTERS &&
    field.isWellFormed() &&
    !field.includes('\0')
  if (!good) {
    throw new EmbeddingError('COLLECTION_INVALID', 'a metadata field has no proper name', {
      where: `fields[${index}]`,
      expected: `1 to ${MAX_FIELD_CHARACTERS} characters without U+0000`,
    })
  }
}

/** @throws EmbeddingError COLLECTION_INVALID. */
export function checkCollection(info: CollectionInfo, epoch: KeyEpoch): void {
  const wrong = (where: string, expected: string) =>
    new EmbeddingError('COLLECTION_INVALID', 'a collection cannot be made like this', {
      where,
      expected,
    })
  if (!isText(info.name) || !NAME.test(info.name)) {
    throw wrong('name', 'a letter or digit, then up to 62 of a-z 0-9 _ -')
  }
  if (!isText(info.id) || !HEX_16.test(info.id)) throw wrong('id', '32 lower-case hex digits')
  if (!isText(info.parameterSet) || info.parameterSet === '') {
    throw wrong('parameterSet', 'the name of a parameter set')
  }
  if (!isCount(info.dimensions)) throw wrong('dimensions', 'a whole number from 1')
  if (!METRICS.includes(info.metric)) throw wrong('metric', METRICS.join(', '))
  if (!Number.isFinite(info.maxNorm) || info.maxNorm <= 0) throw wrong('maxNorm', 'a length')
  if (info.fields.length > MAX_FIELDS) throw wrong('fields', `at most ${MAX_FIELDS}`)
  for (const [index, field] of info.fields.entries()) checkField(field, index)
  if (new Set(info.fields).size !== info.fields.length) throw wrong('fields', 'each name once')
  if (!isEpoch(epoch)) throw wrong('epoch', 'a number from 1, and 32 hex digits to check it by')
}

const isEpoch = ({ epoch, check }: KeyEpoch): boolean => isCount(epoch) && HEX_16.test(check)

/** @throws EmbeddingError STORE_INVALID. */
export function checkPartition(partition: Partition | undefined): void {
  if (partition === undefined) return
  if (!isCount(partition.of) || !isIndex(partition.index, partition.of)) {
    throw invalidChange('there is no such partition', {
      where: 'partition',
      expected: 'an index from 0 and below the number of partitions',
      got: `${partition.index} of ${partition.of}`,
    })
  }
}

/** @throws EmbeddingError FILTER_INVALID. */
export function checkFilter(info: CollectionInfo, filter: Filter): void {
  for (const [index, { field, anyOf }] of filter.entries()) {
    if (!info.fields.includes(field)) {
      throw new EmbeddingError(
        'FILTER_INVALID',
        'the collection cannot be filtered on this field',
        {
          where: `filter[${index}]`,
          expected: info.fields.join(', '),
        },
      )
    }
    if (!anyOf.every((token) => isBytes(token, TOKEN_BYTES))) {
      throw new EmbeddingError('FILTER_INVALID', 'a filter token has the wrong length', {
        where: `filter[${index}].anyOf`,
        expected: `${TOKEN_BYTES} bytes`,
      })
    }
  }
}

/** @throws EmbeddingError STORE_INVALID. */
export function checkToken(token: Uint8Array, where: string): void {
  if (isBytes(token, TOKEN_BYTES)) return
  throw invalidChange('a token has the wrong length', { where, expected: `${TOKEN_BYTES} bytes` })
}

/** Remembers what was named; a second time is a contradiction. */
function once(what: string): (key: string, where: string) => void {
  const seen = new Set<string>()
  return (key, where) => {
    if (seen.has(key)) throw invalidChange(`${what} twice in one change`, { where })
    seen.add(key)
  }
}

function checkBlock(block: BlockContent, where: string): void {
  const wrong = (part: string, expected: string) =>
    invalidChange('a block cannot be stored like this', { where: `${where}.${part}`, expected })
  if (!HEX_16.test(block.uid)) throw wrong('uid', '32 lower-case hex digits')
  if (!isCount(block.epoch)) throw wrong('epoch', 'a whole number from 1')
  if (!isText(block.session)) throw wrong('session', 'an id or the empty text')
  if (!isBytes(block.mac, MAC_BYTES)) throw wrong('mac', `${MAC_BYTES} bytes`)
  if (!isBytes(block.bytes) || block.bytes.length === 0) throw wrong('bytes', 'ciphertexts')
  if (!isCount(block.slots) || block.slots > MAX_SLOTS) throw wrong('slots', `1 to ${MAX_SLOTS}`)
}

function checkRecord(info: CollectionInfo, record: NewRecord, where: string): void {
  checkToken(record.token, `${where}.token`)
  if (!isCount(record.epoch) || !isText(record.session) || !isBytes(record.sealed)) {
    throw invalidChange('a record cannot be stored like this', {
      where,
      expected: 'an epoch from 1, a session and sealed bytes',
    })
  }
  for (const [field, token] of Object.entries(record.filters)) {
    if (!info.fields.includes(field)) {
      throw invalidChange('the collection has no such metadata field', {
        where: `${where}.filters`,
        expected: info.fields.join(', '),
      })
    }
    checkToken(token, `${where}.filters`)
  }
}

function checkSession({ id, epoch, sealedKey }: IngestSession, where: string): void {
  if (HEX_16.test(id) && isCount(epoch) && isBytes(sealedKey) && sealedKey.length > 0) return
  throw invalidChange('a session cannot be stored like this', {
    where,
    expected: 'an id of 32 hex digits, an epoch from 1 and a sealed key',
  })
}

/** Records and moves: their places, and what they say of stored records. */
function checkPlacements(info: CollectionInfo, change: Change): void {
  const blocks = change.blocks ?? []
  const records = change.records ?? []
  const slotOnce = once('a slot is taken')
  const checkPlace = (place: { readonly block: number; readonly slot: number }, where: string) => {
    const block = isIndex(place.block, blocks.length) ? blocks[place.block] : undefined
    if (block === undefined || !isIndex(place.slot, block.slots)) {
      throw invalidChange('there is no such place in the blocks of the change', {
        where,
        got: `block ${place.block} slot ${place.slot}`,
      })
    }
    slotOnce(`${place.block} ${place.slot}`, where)
  }
  const written = new Set<string>()
  const writeOnce = once('a token is written')
  const takeOnce = once('a stored record is re-encrypted, moved or deleted')
  for (const [index, { token }] of (change.deleteUnchanged ?? []).entries()) {
    const where = `deleteUnchanged[${index}]`
    checkToken(token, where)
    takeOnce(toHex(token), where)
  }
  for (const [index, record] of records.entries()) {
    const where = `records[${index}]`
    checkRecord(info, record, where)
    writeOnce(toHex(record.token), where)
    written.add(toHex(record.token))
    if (record.place !== undefined) checkPlace(record.place, where)
    if (record.instead === undefined) continue
    checkToken(record.instead.token, `${where}.instead`)
    takeOnce(toHex(record.instead.token), where)
  }
  for (const [index, record] of records.entries()) {
    for (const token of record.replaces ?? []) {
      const where = `records[${index}].replaces`
      checkToken(token, where)
      // Which of the two would win hangs on their order, and neither order is what was meant.
      if (written.has(toHex(token)))
        throw invalidChange('a record replaces one of its change', { where })
    }
  }
  for (const [index, move] of (change.moves ?? []).entries()) {
    const where = `moves[${index}]`
    checkToken(move.token, where)
    takeOnce(toHex(move.token), where)
    checkPlace(move, where)
  }
}

/** @throws EmbeddingError STORE_INVALID when the change contradicts itself; COLLECTION_NOT_FOUND. */
export function checkChange(info: CollectionInfo, change: Change): void {
  if (change.collection !== undefined && change.collection !== info.id) {
    throw collectionNotFound(info.name)
  }
  for (const [index, epoch] of (change.epochs ?? []).entries()) {
    if (!isEpoch(epoch)) {
      throw invalidChange('a key epoch cannot be stored like this', {
        where: `epochs[${index}]`,
        expected: 'a number from 1, and 32 hex digits to check it by',
      })
    }
  }
  for (const [index, one] of (change.sessions ?? []).entries())
    checkSession(one, `sessions[${index}]`)
  const uidOnce = once('a block uid is used')
  for (const [index, block] of (change.blocks ?? []).entries()) {
    checkBlock(block, `blocks[${index}]`)
    uidOnce(block.uid, `blocks[${index}]`)
  }
  for (const [index, token] of (change.delete ?? []).entries())
    checkToken(token, `delete[${index}]`)
  checkPlacements(info, change)
  const removeOnce = once('a block is removed')
  for (const [index, number] of (change.removeBlocks ?? []).entries()) {
    const where = `removeBlocks[${index}]`
    if (!Number.isSafeInteger(number)) throw invalidChange('there is no such block', { where })
    removeOnce(String(number), where)
  }
}

/**
 * Epochs of a change that the collection, with the epochs and check values in `known`, does not have yet.
 * @throws EmbeddingError STORE_INVALID for one with another key, or older than what is there.
 */
export function newEpochs(
  change: Change,
  known: ReadonlyMap<number, string>,
): ReadonlyMap<number, string> {
  const added = new Map<number, string>()
  let newest = Math.max(...known.keys())
  for (const { epoch, check } of change.epochs ?? []) {
    const there = known.get(epoch) ?? added.get(epoch)
    if (there === check) continue
    const where = `epoch ${epoch}`
    if (there !== undefined) throw invalidChange('the epoch is there with another key', { where })
    if (epoch < newest) {
      throw invalidChange('a new epoch is older than one that is there', {
        where,
        expected: `more than ${newest}`,
      })
    }
    added.set(epoch, check)
    newest = epoch
  }
  return added
}

/** @throws EmbeddingError EPOCH_OUTDATED; STORE_INVALID for an epoch that is not there yet. */
export function checkEpochs(change: Change, newest: number): void {
  const parts = { sessions: change.sessions, blocks: change.blocks, records: change.records }
  for (const [part, all] of Object.entries(parts)) {
    for (const [index, { epoch }] of (all ?? []).entries()) {
      if (epoch === newest) continue
      const where = `${part}[${index}]`
      const got = `epoch ${epoch}`
      if (!(epoch < newest)) {
        throw invalidChange('the collection does not have this epoch', { where, got })
      }
      throw new EmbeddingError('EPOCH_OUTDATED', 'the collection has a newer key by now', {
        where,
        expected: `epoch ${newest}, its newest`,
        got,
        hint: 'open the ingest again: with the seeds of all its epochs, or with a new kit from the key holder',
      })
    }
  }
}
