/**
 * Keys of one epoch: HKDF-SHA-256 (RFC 5869) of the 32-byte seed, one label for each use. The seed comes from
 * a token and is uniform, so the salt may be left out (RFC 5869 §3.1).
 */
import { hkdfSync } from 'node:crypto'

import { toHex, utf8, wipe } from '../bytes.ts'
import { EmbeddingError } from '../errors.ts'

export const SEED_LENGTH = 32
const CHECK_BYTES = 16

/** 32 bytes each, but for the check. */
export interface DerivedKeys {
  readonly epoch: number
  /** From it come the secret keys of SEAL. */
  readonly sealSecretKey: Uint8Array
  /** AES-256-GCM of records. */
  readonly record: Uint8Array
  /** HMAC-SHA-256 of blocks. */
  readonly blockMac: Uint8Array
  /** HMAC-SHA-256 of ids. */
  readonly idToken: Uint8Array
  /** HMAC-SHA-256 of metadata values. */
  readonly filterToken: Uint8Array
  /** Key material of the HPKE key pair that ingest sessions are sealed to. */
  readonly ingestHpke: Uint8Array
  /** Key check value, hex of 16 bytes: tells seeds apart and says nothing else of them. */
  readonly keyCheck: string
  /** Overwrites all of them with zeros. */
  wipe(): void
}

/** RFC 5869 §2: extract with an empty salt, expand with the label as info. */
function derive(seed: Uint8Array, label: string, length = 32): Uint8Array {
  const info = utf8(`keyrite-he/1 ${label}`)
  return new Uint8Array(hkdfSync('sha256', seed, new Uint8Array(0), info, length))
}

/**
 * The keys of an epoch. The seed is read and not kept.
 * @throws EmbeddingError KEY_INVALID when the seed is not 32 bytes or the epoch is no positive integer.
 */
export function deriveKeys(seed: Uint8Array, epoch: number): DerivedKeys {
  if (!(seed instanceof Uint8Array) || seed.length !== SEED_LENGTH) {
    throw new EmbeddingError('KEY_INVALID', 'a seed has another length', {
      where: `epoch ${epoch}`,
      expected: `${SEED_LENGTH} bytes`,
      got: seed instanceof Uint8Array ? `${seed.length} bytes` : typeof seed,
    })
  }
  if (!Number.isInteger(epoch) || epoch < 1 || epoch > 0x7fff_ffff) {
    throw new EmbeddingError('KEY_INVALID', 'that is no epoch', {
      where: 'epoch',
      expected: 'a whole number from 1 to 2^31 - 1',
      got: String(epoch),
    })
  }
  const sealSecretKey = derive(seed, 'seal secret key')
  const record = derive(seed, 'record key')
  const blockMac = derive(seed, 'block mac')
  const idToken = derive(seed, 'id token')
  const filterToken = derive(seed, 'filter token')
  const ingestHpke = derive(seed, 'ingest hpke')
  const keyCheck = toHex(derive(seed, 'check', CHECK_BYTES))
  return {
    epoch,
    sealSecretKey,
    record,
    blockMac,
    idToken,
    filterToken,
    ingestHpke,
    keyCheck,
    wipe: () => wipe(sealSecretKey, record, blockMac, idToken, filterToken, ingestHpke),
  }
}
