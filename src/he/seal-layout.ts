/**
 * SEAL's serialised objects (version 4.1, not compressed), written and read byte by byte. Little-endian:
 *
 *     header       16  u16 0xa15e | u8 16 | u8 4, u8 1 version | u8 0 compression: none | u16 0 | u64 size
 *     array            header | u64 count | count words of 64 bits
 *     ciphertext       header | 32 parms_id | u8 1 NTT form | u64 polynomials | u64 N | u64 1 prime
 *                      | f64 1 scale | u64 1 correction factor | array
 *     with a seed      the same of 2 polynomials with c0 alone in the array, then header | u8 1 | 64 seed
 *     plaintext        header | 32 parms_id, zero: coefficients | u64 count | f64 1 scale | array
 *     secret key       a plaintext in NTT form
 *
 * What is read is compared with the only prefix it may have: each length and field, compression included, is
 * settled before any byte behind it is looked at, and what SEAL gets to parse always has a prefix from here.
 */
import { concat, equal } from '../bytes.ts'
import { SEED_BYTES } from './ciphertext-format.ts'
import { EmbeddingError } from '../errors.ts'
import type { ParameterSet } from './parameters.ts'

/** What the layout of a parameter set's objects depends on. */
export interface SealLayout {
  readonly set: ParameterSet
  /** 32 bytes: SEAL's hash of scheme, degree, primes and plain modulus. */
  readonly parmsId: Uint8Array
}

const HEADER = 16
const WORD = 8
const COEFFICIENT_FORM = new Uint8Array(32)
/** SEAL's number of its default generator. */
const BLAKE2XB = 1

const u64 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(WORD)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true)
  return bytes
}
const ONE_F64 = new Uint8Array(new Float64Array([1]).buffer)

const header = (size: number): Uint8Array =>
  concat(Uint8Array.of(0x5e, 0xa1, HEADER, 4, 1, 0, 0, 0), u64(size))

/** A header and what it covers up to the data, which is `dataBytes` long. */
function framed(dataBytes: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const fields = concat(...parts)
  return concat(header(HEADER + fields.length + dataBytes), fields)
}

const arrayPrefix = (words: number): Uint8Array => framed(words * WORD, u64(words))
const seedPrefix = framed(SEED_BYTES, Uint8Array.of(BLAKE2XB))

/** Bytes of one polynomial in memory. */
export const wordsLength = ({ degree }: ParameterSet): number => degree * WORD

function ciphertextPrefix(layout: SealLayout, size: number, seeded: boolean): Uint8Array {
  const { degree } = layout.set
  const words = seeded ? degree : size * degree
  return framed(
    words * WORD + (seeded ? seedPrefix.length + SEED_BYTES : 0),
    layout.parmsId,
    Uint8Array.of(1),
    u64(size),
    u64(degree),
    u64(1),
    ONE_F64,
    u64(1),
    arrayPrefix(words),
  )
}

const plaintextPrefix = (parmsId: Uint8Array, count: number): Uint8Array =>
  framed(count * WORD, parmsId, u64(count), ONE_F64, arrayPrefix(count))

function refuse(what: string, where: string, expected: string, got: string): never {
  throw new EmbeddingError('CIPHERTEXT_INVALID', `SEAL's ${what} has another layout`, {
    where,
    expected,
    got,
  })
}

/** The data behind the only prefix it may have. */
function behind(prefix: Uint8Array, length: number, blob: Uint8Array, what: string): Uint8Array {
  const expected = prefix.length + length
  if (blob.length !== expected) refuse(what, 'length', `${expected} bytes`, `${blob.length} bytes`)
  const head = blob.subarray(0, prefix.length)
  if (!equal(head, prefix)) {
    const at = head.findIndex((byte, i) => byte !== prefix[i])
    refuse(what, `byte ${at}`, String(prefix[at]), String(head[at]))
  }
  return blob.subarray(prefix.length)
}

/** A ciphertext of two or three polynomials; each N words of 64 bits, NTT form, below q. */
export const writeCiphertext = (
  layout: SealLayout,
  polynomials: readonly Uint8Array[],
): Uint8Array => concat(ciphertextPrefix(layout, polynomials.length, false), ...polynomials)

/** A ciphertext or public key of c0 and the seed of c1. */
export const writeSeeded = (layout: SealLayout, c0: Uint8Array, seed: Uint8Array): Uint8Array =>
  concat(ciphertextPrefix(layout, 2, true), c0, seedPrefix, seed)

/** Polynomials of a ciphertext, as views. @throws EmbeddingError CIPHERTEXT_INVALID. */
export function readCiphertext(layout: SealLayout, size: number, blob: Uint8Array): Uint8Array[] {
  const length = wordsLength(layout.set)
  const data = behind(ciphertextPrefix(layout, size, false), size * length, blob, 'ciphertext')
  return Array.from({ length: size }, (_, i) => data.subarray(i * length, (i + 1) * length))
}

/** c0 and seed of a seeded ciphertext or public key, as views. @throws EmbeddingError CIPHERTEXT_INVALID. */
export function readSeeded(
  layout: SealLayout,
  blob: Uint8Array,
): { readonly c0: Uint8Array; readonly seed: Uint8Array } {
  const length = wordsLength(layout.set)
  const tail = seedPrefix.length + SEED_BYTES
  const data = behind(ciphertextPrefix(layout, 2, true), length + tail, blob, 'seeded ciphertext')
  const seed = behind(seedPrefix, SEED_BYTES, data.subarray(length), 'seed')
  return { c0: data.subarray(0, length), seed }
}

/**
 * A plaintext of N coefficients, each at least -t/2 and below t/2. The caller wipes it.
 * @throws EmbeddingError VECTOR_INVALID.
 */
export function writePlaintext({ set }: SealLayout, coefficients: Int32Array): Uint8Array {
  const t = 2 ** set.plainBits
  const prefix = plaintextPrefix(COEFFICIENT_FORM, set.degree)
  const blob = new Uint8Array(prefix.length + wordsLength(set))
  blob.set(prefix)
  const view = new DataView(blob.buffer, prefix.length)
  let sound = coefficients.length === set.degree
  for (let i = 0; sound && i < set.degree; i++) {
    const x = coefficients[i] ?? 0
    sound = x >= -t / 2 && x < t / 2
    view.setUint32(i * WORD, x < 0 ? x + t : x, true)
  }
  if (sound) return blob
  blob.fill(0)
  throw new EmbeddingError('VECTOR_INVALID', 'coefficients do not fit the plaintext', {
    where: set.name,
    expected: `${set.degree} integers below ${t / 2}`,
    got: `${coefficients.length} integers`,
  })
}

/**
 * The N coefficients of a decrypted plaintext, centred. SEAL leaves out zeros at the end.
 * @throws EmbeddingError CIPHERTEXT_INVALID.
 */
export function readPlaintext({ set }: SealLayout, blob: Uint8Array): Int32Array {
  const t = 2 ** set.plainBits
  const empty = plaintextPrefix(COEFFICIENT_FORM, 0).length
  const count = (blob.length - empty) / WORD
  if (!Number.isInteger(count) || count < 1 || count > set.degree) {
    refuse('plaintext', 'length', `1 to ${set.degree} words`, `${blob.length} bytes`)
  }
  const data = behind(plaintextPrefix(COEFFICIENT_FORM, count), count * WORD, blob, 'plaintext')
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const coefficients = new Int32Array(set.degree)
  for (let i = 0; i < count; i++) {
    const low = view.getUint32(i * WORD, true)
    if (low >= t || view.getUint32(i * WORD + 4, true) !== 0) {
      refuse('plaintext', `coefficient ${i}`, `below ${t}`, 'a larger one')
    }
    coefficients[i] = low >= t / 2 ? low - t : low
  }
  return coefficients
}

/** Checks that a blob is a plaintext in NTT form, which is how SEAL keeps a secret key. */
export function checkSecretKey(layout: SealLayout, blob: Uint8Array): void {
  const { degree } = layout.set
  behind(plaintextPrefix(layout.parmsId, degree), degree * WORD, blob, 'secret key')
}
