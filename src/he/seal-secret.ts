/**
 * SEAL's secret key out of 32 bytes: a ternary polynomial from SHAKE256 (FIPS 202 §6.2), each coefficient
 * uniform over -1, 0, 1 by rejection. SEAL draws its own secret keys from the same distribution, but takes no
 * seed; the key is handed to it in its serialised form.
 */
import { createHash } from 'node:crypto'

import { utf8, wipe } from '../bytes.ts'
import { EmbeddingError } from '../errors.ts'
import type { Plaintext, Seal, SecretKey } from './seal.ts'
import { checkSecretKey, writePlaintext } from './seal-layout.ts'

const LABEL = 'keyrite-he/1 ternary secret'
/** Bytes of SHAKE256 for a coefficient: 4 tries, each of which succeeds 3 times in 4. */
const BYTES_PER_COEFFICIENT = 1
/** Times a key goes in or out of WebAssembly's memory: the coefficients, the key out, the key in. */
const TRANSFERS = 3

/** Uniform over -1, 0, 1. The caller wipes it. */
export function ternary(seed: Uint8Array, degree: number): Int32Array {
  const outputLength = degree * BYTES_PER_COEFFICIENT
  const stream = createHash('shake256', { outputLength }).update(utf8(LABEL)).update(seed).digest()
  const coefficients = new Int32Array(degree)
  let filled = 0
  for (const byte of stream) {
    for (let shift = 0; shift < 8 && filled < degree; shift += 2) {
      const two = (byte >>> shift) & 3
      if (two < 3) coefficients[filled++] = two - 1
    }
  }
  wipe(stream)
  // 3 N of 4 N tries succeed on average; that fewer than N do happens with probability below 2^-1000.
  if (filled < degree) throw new EmbeddingError('KEY_INVALID', 'the seed gave no secret key')
  return coefficients
}

/**
 * The arrays that carried the key in and out of WebAssembly are free memory there, not wiped and out of reach.
 * Zeros of the same size go the same ways, and so into the same places.
 */
function overwriteTransfers({ lib, context, layout }: Seal, plain: Plaintext): void {
  const zeros = writePlaintext(layout, new Int32Array(layout.set.degree))
  for (let way = 0; way < TRANSFERS; way++) {
    plain.loadFromArray(context, zeros)
    plain.saveToArray(lib.ComprModeType.none)
  }
}

/** The secret key of a seed, in SEAL. The caller deletes it. */
export function secretKeyOf(library: Seal, seed: Uint8Array): SecretKey {
  const { lib, context, layout } = library
  const coefficients = ternary(seed, layout.set.degree)
  const clear = writePlaintext(layout, coefficients)
  coefficients.fill(0)
  // A pool of its own that SEAL overwrites when it is given back.
  const pool = lib.MemoryPoolHandle.New(true)
  const evaluator = new lib.Evaluator(context)
  const parmsId = context.keyParmsId()
  let plain: Plaintext | undefined
  let blob: Uint8Array | undefined
  try {
    plain = lib.Plaintext.withPool(pool)
    plain.loadFromArray(context, clear)
    // SEAL lifts t - 1 to q - 1, so that the coefficient is -1 modulo q too.
    evaluator.plainTransformToNttInplace(plain, parmsId)
    blob = plain.saveToArray(lib.ComprModeType.none) as Uint8Array
    checkSecretKey(layout, blob)
    const key = new lib.SecretKey()
    key.loadFromArray(context, blob)
    overwriteTransfers(library, plain)
    return key
  } finally {
    wipe(clear, blob)
    plain?.delete()
    parmsId.delete()
    evaluator.delete()
    pool.delete()
  }
}
