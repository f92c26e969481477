/**
 * The key holder's keys: what is derived from the seeds, per collection and epoch. A collection's SEAL
 * secret key is its own, so that ciphertexts of another collection decrypt to noise.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'

import { canonicalJson } from '../canonical.ts'
import { equal, fromHex, toHex, utf8, wipe } from '../bytes.ts'
import { EmbeddingError } from '../errors.ts'
import { blockMac, checkBlockMac } from './block-mac.ts'
import { type BlockSealer, sealItem } from './block-sealer.ts'
import { type SessionKeys, openSession } from './ingest-kit.ts'
import { type DerivedKeys, deriveKeys } from './keys.ts'
import { type Geometry, geometryOf } from './parameters.ts'
import { quantiseVector } from './quantise.ts'
import { type OpenedRecord, openRecord, sessionPart } from './record.ts'
import { type SealCipher, createSealCipher } from './seal-cipher.ts'
import { filterToken, idToken } from './tokens.ts'
import type {
  BlockInfo,
  CollectionInfo,
  CollectionState,
  IngestSession,
  KeyEpoch,
  MetadataValue,
  RecordContent,
  StoredRecord,
} from './types.ts'

/** A seed and the epoch it is for. */
export interface KeySeed {
  /** 1 for the first seed of a collection. */
  readonly epoch: number
  /** 32 bytes. Copied: the caller wipes its own. */
  readonly seed: Uint8Array
}

/** Keys of one collection. */
export interface CollectionKeys {
  readonly info: CollectionInfo
  readonly geometry: Geometry
  /** Epochs alive in the collection, ascending. */
  readonly epochs: readonly number[]
  /** SEAL under the secret key of an epoch. */
  cipher(epoch: number): Promise<SealCipher>
  /** Keyed hashes of an id, in the order of {@link CollectionKeys.epochs}. */
  tokens(id: string): readonly Uint8Array[]
  filterTokens(field: string, value: MetadataValue): readonly Uint8Array[]
  /** @throws EmbeddingError RECORD_INVALID. */
  open(record: StoredRecord): Promise<OpenedRecord>
  /** Whether the block's bytes are those that were sealed, in this collection and epoch. */
  checkBlock(block: BlockInfo, bytes: Uint8Array): Promise<boolean>
  /** Makes blocks and records under an epoch. */
  sealer(epoch: number): Promise<BlockSealer>
  derived(epoch: number): DerivedKeys
}

/** All seeds of a key holder. */
export interface Keyring extends Disposable {
  readonly epochs: readonly number[]
  readonly newest: number
  /** What a collection keeps to tell a wrong seed and a changed description. */
  check(info: CollectionInfo, epoch: number): KeyEpoch
  /**
   * Keys for the collection as the store or a scorer describes it.
   * @param renew - reads its state again: an ingest may have begun since
   * @throws EmbeddingError EPOCH_UNKNOWN, KEY_MISMATCH.
   */
  collection(
    state: Pick<CollectionState, 'info' | 'epochs' | 'sessions'>,
    renew?: () => Promise<CollectionState>,
  ): CollectionKeys
}

/** HMAC-SHA-256 (RFC 2104) over the description, cut to 16 bytes. */
function collectionCheck(keys: DerivedKeys, info: CollectionInfo): string {
  const { name, id, parameterSet, dimensions, metric, maxNorm, fields } = info
  // RFC 8785 has one form for integers only here; a norm is written as the text of the number.
  const described = { name, id, parameterSet, dimensions, metric, maxNorm: String(maxNorm), fields }
  const text = canonicalJson({ collection: described, epoch: keys.epoch })
  const mac = createHmac('sha256', keys.blockMac).update('keyrite-he/1 collection\0').update(text)
  return toHex(mac.digest().subarray(0, 16))
}

/** The secret of one collection's SEAL key: HKDF-Expand (RFC 5869 §2.3) with the collection as info. */
function collectionSecret(keys: DerivedKeys, info: CollectionInfo): Uint8Array {
  const label = utf8(`keyrite-he/1 collection secret key ${info.id}`)
  return new Uint8Array(hkdfSync('sha256', keys.sealSecretKey, new Uint8Array(0), label, 32))
}

/** @throws EmbeddingError KEY_INVALID for no seed, one of another length, or an epoch given twice. */
export function createKeyring(seeds: readonly KeySeed[]): Keyring {
  const isList: boolean = Array.isArray(seeds)
  if (!isList) {
    const expected = 'a list of { epoch, seed }'
    throw new EmbeddingError('KEY_INVALID', 'seeds are no list', { where: 'seeds', expected })
  }
  const derived = new Map<number, DerivedKeys>()
  try {
    for (const { epoch, seed } of seeds) {
      if (derived.has(epoch)) {
        throw new EmbeddingError('KEY_INVALID', 'two seeds for one epoch', {
          where: `epoch ${epoch}`,
        })
      }
      derived.set(epoch, deriveKeys(seed, epoch))
    }
  } catch (error) {
    for (const keys of derived.values()) keys.wipe()
    throw error
  }
  if (derived.size === 0) {
    throw new EmbeddingError('KEY_INVALID', 'a key holder needs a seed', { expected: '1 or more' })
  }
  const epochs = [...derived.keys()].sort((a, b) => a - b)
  const ciphers = new Map<string, Promise<SealCipher>>()
  const sessions = new Map<string, Promise<SessionKeys>>()
  let disposed = false

  function keysOf(epoch: number, where: string): DerivedKeys {
    if (disposed) throw new EmbeddingError('CLOSED', 'the key holder is closed')
    const keys = derived.get(epoch)
    if (keys !== undefined) return keys
    throw new EmbeddingError(
      'EPOCH_UNKNOWN',
      'the key holder has no seed for an epoch of the collection',
      {
        where,
        expected: `a seed for epoch ${epoch}`,
        got: `epochs ${epochs.join(', ')}`,
        hint: 'give the seeds of all its epochs until the rotation is over (on the command line, --seed once for each)',
      },
    )
  }

  /** The promise under a key; a failed one is not kept. */
  function once<T>(map: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
    const known = map.get(key)
    if (known !== undefined) return known
    const made = make()
    map.set(key, made)
    made.catch(() => map.delete(key))
    return made
  }

  function collection(
    state: Pick<CollectionState, 'info' | 'epochs' | 'sessions'>,
    renew?: () => Promise<CollectionState>,
  ): CollectionKeys {
    const { info } = state
    const geometry = geometryOf(info)
    const alive = state.epochs.map(({ epoch }) => epoch).sort((a, b) => a - b)
    // Their checks authenticate the description; and a query is encrypted for each.
    if (alive.length === 0 || new Set(alive).size < alive.length) {
      throw new EmbeddingError('KEY_MISMATCH', 'the collection names no epoch, or one twice', {
        where: info.name,
        hint: 'its store or scorer was changed',
      })
    }
    for (const { epoch, check } of state.epochs) {
      const own = collectionCheck(keysOf(epoch, info.name), info)
      if (!timingSafeEqual(fromHex(own), fromHex(check.padEnd(32, '0').slice(0, 32), 'check'))) {
        throw new EmbeddingError('KEY_MISMATCH', 'the seed is not the one of this collection', {
          where: `${info.name}, epoch ${epoch}`,
          hint: 'another seed made it, or its description was changed: compare with the ceremony\u2019s record',
        })
      }
    }

    const cipher = (epoch: number) =>
      once(ciphers, `${info.id} ${epoch}`, async () => {
        const secret = collectionSecret(keysOf(epoch, info.name), info)
        try {
          return await createSealCipher(geometry, secret)
        } finally {
          wipe(secret)
        }
      })

    const sessionKeys = (id: string, where: string): Promise<SessionKeys> =>
      once(sessions, `${info.id} ${id}`, async () => {
        const named = (one: IngestSession) => one.id === id
        const session = state.sessions.find(named) ?? (await renew?.())?.sessions.find(named)
        if (session === undefined) {
          throw new EmbeddingError(
            'RECORD_INVALID',
            'made in a session the collection does not have',
            {
              where,
            },
          )
        }
        return openSession(keysOf(session.epoch, info.name), info, session)
      })

    const context = (record: Pick<RecordContent, 'epoch' | 'session' | 'token'>) => ({
      collectionId: info.id,
      epoch: record.epoch,
      session: record.session,
      token: record.token,
    })
    const tokens = (id: string) =>
      alive.map((epoch) => idToken(keysOf(epoch, info.name).idToken, info.id, id))
    const macContext = ({ uid, epoch, session }: Pick<BlockInfo, 'uid' | 'epoch' | 'session'>) => ({
      collectionId: info.id,
      uid,
      epoch,
      session,
    })

    /** Whoever has the key of a session may have sealed anything. @throws EmbeddingError RECORD_INVALID. */
    function checkRecord(
      { id, vector }: OpenedRecord,
      stored: StoredRecord,
      key: Uint8Array,
    ): void {
      let problem: string | undefined
      if (!equal(idToken(key, info.id, id), stored.token)) problem = 'the token of another id'
      else {
        try {
          quantiseVector(geometry, info.maxNorm, vector)
        } catch (error) {
          problem = error instanceof EmbeddingError ? error.message : String(error)
        }
      }
      if (problem === undefined) return
      throw new EmbeddingError('RECORD_INVALID', 'a record is not one the collection takes', {
        where: `${info.name}, token ${toHex(stored.token)}${sessionPart(stored)}`,
        got: problem,
        hint: 'an ingest has made it so: take its kit away; keyrite embeddings delete --invalid takes such records away',
      })
    }

    return {
      info,
      geometry,
      epochs: alive,
      cipher,
      tokens,
      filterTokens: (field, value) =>
        alive.map((epoch) =>
          filterToken(keysOf(epoch, info.name).filterToken, info.id, field, value),
        ),
      derived: (epoch) => keysOf(epoch, info.name),
      async open(stored) {
        const session =
          stored.session === '' ? undefined : await sessionKeys(stored.session, info.name)
        // After the session: keys of a key holder that was closed meanwhile are wiped.
        const own = keysOf(stored.epoch, info.name)
        const opened = openRecord(session?.recordKey ?? own.record, context(stored), stored.sealed)
        checkRecord(opened, stored, own.idToken)
        return opened
      },
      async checkBlock(block, bytes) {
        const session =
          block.session === '' ? undefined : await sessionKeys(block.session, info.name)
        const own = keysOf(block.epoch, info.name)
        return checkBlockMac(session?.macKey ?? own.blockMac, macContext(block), bytes, block.mac)
      },
      async sealer(epoch) {
        const seal = await cipher(epoch)
        return {
          info,
          geometry,
          epoch,
          session: undefined,
          encrypt: (coefficients) => seal.encrypt(coefficients, 'block'),
          mac: (uid, bytes) =>
            blockMac(
              keysOf(epoch, info.name).blockMac,
              macContext({ uid, epoch, session: '' }),
              bytes,
            ),
          record: (item) => sealItem(keysOf(epoch, info.name), info, { epoch, session: '' }, item),
          tokens,
        }
      },
    }
  }

  return {
    epochs,
    newest: Math.max(...epochs),
    check: (info, epoch) => ({ epoch, check: collectionCheck(keysOf(epoch, info.name), info) }),
    collection,
    [Symbol.dispose]() {
      disposed = true
      // Those under way, too; what fails is told to who waits for it.
      const failed = () => undefined
      for (const cipher of ciphers.values()) void cipher.then((one) => one.dispose(), failed)
      for (const session of sessions.values()) {
        void session.then(({ recordKey, macKey }) => wipe(recordKey, macKey), failed)
      }
      for (const keys of derived.values()) keys.wipe()
    },
  }
}
