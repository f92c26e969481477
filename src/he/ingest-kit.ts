/**
 * Ingest with public keys only. The key holder makes a kit; each run of an ingest begins a session with a random
 * key of its own for records and MACs, sealed to the key holder with HPKE (RFC 9180: DHKEM(X25519, HKDF-SHA256),
 * HKDF-SHA256, AES-256-GCM). Once the session is over, the ingest can open nothing that it wrote.
 *
 * X25519 does not withstand a quantum computer, while the lattice encryption of the vectors is believed to: who
 * keeps sessions today could then open their records. Ingest by the key holder has no such step.
 */
import { hkdfSync, randomBytes, randomFillSync, type webcrypto } from 'node:crypto'

import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'

import { concat, toHex, utf8, wipe } from '../bytes.ts'
import { canonicalJson } from '../canonical.ts'
import { EmbeddingError } from '../errors.ts'
import { type IngestKit, writeIngestKit } from './ingest-kit-format.ts'
import type { DerivedKeys } from './keys.ts'
import type { CollectionInfo, IngestSession } from './types.ts'

export { type IngestKit, parseIngestKit, writeIngestKit } from './ingest-kit-format.ts'

/** Keys of one session, 32 bytes each. */
export interface SessionKeys {
  /** AES-256-GCM of its records. */
  readonly recordKey: Uint8Array
  /** HMAC-SHA-256 of its blocks. */
  readonly macKey: Uint8Array
}

/** Bytes of an encapsulated X25519 key (RFC 9180 §7.1, Nenc) and of a public key. */
const ENCAPSULATED_BYTES = 32
/** Bytes of a session key. */
const SESSION_KEY_BYTES = 32

/** RFC 9180 §7. */
export const hpke = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Aes256Gcm(),
})

/** A copy in a buffer of its own: WebCrypto's types want it, and a secret there is not moved (`secretBytes`). */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(new ArrayBuffer(bytes.length))
  copy.set(bytes)
  return copy
}

/** RFC 9180 §5.1: the info of the key schedule; what a session is bound to. */
const sessionInfo = (
  info: Pick<CollectionInfo, 'id'>,
  session: Pick<IngestSession, 'id' | 'epoch'>,
): Uint8Array<ArrayBuffer> =>
  owned(utf8(canonicalJson(['keyrite-he/1 ingest session', info.id, session.epoch, session.id])))

/** The keys of a session key: HKDF-SHA-256 (RFC 5869). */
function sessionKeys(sessionKey: Uint8Array): SessionKeys {
  const derive = (label: string) =>
    new Uint8Array(
      hkdfSync('sha256', sessionKey, new Uint8Array(0), utf8(`keyrite-he/1 session ${label}`), 32),
    )
  return { recordKey: derive('record key'), macKey: derive('block mac') }
}

/**
 * Begins a session: a random key, its keys for records and MACs, and the session for the store.
 * @throws EmbeddingError KEY_INVALID when the kit's public key is no point that can be used.
 */
export async function newSession(
  kit: Pick<IngestKit, 'info' | 'epoch' | 'hpkePublicKey'>,
): Promise<SessionKeys & { readonly session: IngestSession }> {
  const head = { id: toHex(randomBytes(16)), epoch: kit.epoch }
  const sessionKey = randomFillSync(new Uint8Array(new ArrayBuffer(SESSION_KEY_BYTES)))
  try {
    const recipientPublicKey = (await hpke.kem.deserializePublicKey(
      owned(kit.hpkePublicKey),
    )) as webcrypto.CryptoKey
    // RFC 9180 §6.1, SealBase.
    const { enc, ct } = await hpke.seal(
      { recipientPublicKey, info: sessionInfo(kit.info, head) },
      sessionKey,
    )
    const sealedKey = concat(new Uint8Array(enc), new Uint8Array(ct))
    return { session: { ...head, sealedKey }, ...sessionKeys(sessionKey) }
  } catch {
    throw new EmbeddingError('KEY_INVALID', 'the kit\u2019s public key cannot be used', {
      where: kit.info.name,
      hint: 'have the key holder make a new kit',
    })
  } finally {
    wipe(sessionKey)
  }
}

/** RFC 9180 §7.1.3, DeriveKeyPair, from the epoch's key material. */
async function keyPair({ ingestHpke }: DerivedKeys): Promise<webcrypto.CryptoKeyPair> {
  const ikm = owned(ingestHpke)
  try {
    return (await hpke.kem.deriveKeyPair(ikm)) as webcrypto.CryptoKeyPair
  } finally {
    wipe(ikm)
  }
}

/**
 * Canonical JSON of a kit. Not secret, but whoever has it can add vectors: hand it to the ingest only.
 * @param before - Keys of the collection's other epochs, ascending.
 */
export async function ingestKit(
  info: CollectionInfo,
  keys: DerivedKeys,
  before: readonly DerivedKeys[],
  publicKey: Uint8Array,
): Promise<Uint8Array> {
  // Before anything is waited for: a key holder that is closed meanwhile wipes its own.
  const [idToken, filterToken] = [owned(keys.idToken), owned(keys.filterToken)]
  const earlier = before.map((one) => ({ epoch: one.epoch, idToken: owned(one.idToken) }))
  try {
    const pair = await keyPair(keys)
    return writeIngestKit({
      info,
      epoch: keys.epoch,
      publicKey,
      hpkePublicKey: new Uint8Array(await hpke.kem.serializePublicKey(pair.publicKey)),
      idToken,
      filterToken,
      earlier,
    })
  } finally {
    wipe(idToken, filterToken, ...earlier.map((one) => one.idToken))
  }
}

/**
 * The keys of a session that was sealed to these keys for this collection. The caller wipes them.
 * @throws EmbeddingError KEY_MISMATCH when it was not, or was changed.
 */
export async function openSession(
  keys: DerivedKeys,
  info: CollectionInfo,
  session: IngestSession,
): Promise<SessionKeys> {
  let sessionKey: Uint8Array | undefined
  try {
    if (session.epoch !== keys.epoch) throw new RangeError('another epoch')
    const { privateKey } = await keyPair(keys)
    const enc = owned(session.sealedKey.subarray(0, ENCAPSULATED_BYTES))
    const sealed = owned(session.sealedKey.subarray(ENCAPSULATED_BYTES))
    // RFC 9180 §6.1, OpenBase.
    const params = { recipientKey: privateKey, enc, info: sessionInfo(info, session) }
    sessionKey = new Uint8Array(await hpke.open(params, sealed))
    return sessionKeys(sessionKey)
  } catch {
    throw new EmbeddingError('KEY_MISMATCH', 'an ingest session does not open with this seed', {
      where: `${info.name}, epoch ${session.epoch}, session ${session.id}`,
      hint: 'it was changed, or sealed to another seed or collection; keyrite embeddings delete --invalid takes its records away',
    })
  } finally {
    wipe(sessionKey)
  }
}
