/** The key holder's side of public-key ingest: it makes kits and opens the sessions made with them. */
import type { webcrypto } from 'node:crypto'

import { wipe } from '../bytes.ts'
import { EmbeddingError } from '../errors.ts'
import { writeIngestKit } from './ingest-session.ts'
import type { DerivedKeys } from './keys.ts'
import {
  ENCAPSULATED_BYTES,
  type SessionKeys,
  hpke,
  owned,
  sessionInfo,
  sessionKeys,
} from './session-hpke.ts'
import type { CollectionInfo, IngestSession } from './types.ts'

export { newSession, parseIngestKit } from './ingest-session.ts'
export type { SessionKeys } from './session-hpke.ts'

/** RFC 9180 §7.1.3, DeriveKeyPair, from the epoch's key material. */
async function keyPair({ ingestHpke }: DerivedKeys): Promise<webcrypto.CryptoKeyPair> {
  const ikm = owned(ingestHpke)
  try {
    return (await hpke.kem.deriveKeyPair(ikm)) as webcrypto.CryptoKeyPair
  } finally {
    wipe(ikm)
  }
}

/** Canonical JSON of a kit. Not secret, but whoever has it can add vectors: hand it to the ingest only. */
export async function ingestKit(
  info: CollectionInfo,
  keys: DerivedKeys,
  publicKey: Uint8Array,
): Promise<Uint8Array> {
  const pair = await keyPair(keys)
  return writeIngestKit({
    info,
    epoch: keys.epoch,
    publicKey,
    hpkePublicKey: new Uint8Array(await hpke.kem.serializePublicKey(pair.publicKey)),
    idToken: keys.idToken,
    filterToken: keys.filterToken,
  })
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
      hint: 'it was changed, or sealed to another seed or collection',
    })
  } finally {
    wipe(sessionKey)
  }
}
