/**
 * The HPKE (RFC 9180) suite of ingest sessions: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. X25519
 * does not withstand a quantum computer, while the lattice encryption of the vectors is believed to: who
 * records sessions today could then open their records. Ingest by the key holder has no such step.
 */
import { hkdfSync } from 'node:crypto'

import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'

import { utf8 } from '../bytes.ts'
import { canonicalJson } from '../canonical.ts'
import type { CollectionInfo, IngestSession } from './types.ts'

/** Keys of one session, 32 bytes each. */
export interface SessionKeys {
  /** AES-256-GCM of its records. */
  readonly recordKey: Uint8Array
  /** HMAC-SHA-256 of its blocks. */
  readonly macKey: Uint8Array
}

/** Bytes of an encapsulated X25519 key (RFC 9180 §7.1, Nenc) and of a public key. */
export const ENCAPSULATED_BYTES = 32
/** Bytes of a session key. */
export const SESSION_KEY_BYTES = 32

export const hpke = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Aes256Gcm(),
})

/** A copy in a buffer of its own: WebCrypto's types want it, and a secret there is not moved (`secretBytes`). */
export function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(new ArrayBuffer(bytes.length))
  copy.set(bytes)
  return copy
}

/** RFC 9180 §5.1: the info of the key schedule; what a session is bound to. */
export const sessionInfo = (
  info: Pick<CollectionInfo, 'id'>,
  session: Pick<IngestSession, 'id' | 'epoch'>,
): Uint8Array<ArrayBuffer> =>
  owned(utf8(canonicalJson(['keyrite-he/1 ingest session', info.id, session.epoch, session.id])))

/** The keys of a session key: HKDF-SHA-256 (RFC 5869). */
export function sessionKeys(sessionKey: Uint8Array): SessionKeys {
  const derive = (label: string) =>
    new Uint8Array(
      hkdfSync('sha256', sessionKey, new Uint8Array(0), utf8(`keyrite-he/1 session ${label}`), 32),
    )
  return { recordKey: derive('record key'), macKey: derive('block mac') }
}
