/**
 * Ciphertexts at rest and on the wire: blocks, queries and results. Everything is little-endian:
 *
 *     0   4   "KRHE"
 *     4   1   version 1
 *     5   1   kind: 1 block, 2 query, 3 result
 *     6   1   form: 1 c0 and the seed of c1, 2 c0 and c1, 3 c0, c1 and c2
 *     7   1   bits of a residue
 *     8   u32 degree N
 *     12  u32 number of chunks
 *     16  32  layout digest
 *     48      per chunk: c0, then the 64-byte seed or c1, then c2
 *
 * A polynomial is N residues, packed: bit i of residue j is bit (bits * j + i) of the little-endian bit string.
 * Residues are canonical, below q, in the order of SEAL's number-theoretic transform. This file needs no key and
 * no library: a scorer refuses bytes with it before anything else looks at them.
 */
import { equal } from '../bytes.ts'
import { EmbeddingError } from '../errors.ts'
import type { Geometry, ParameterSet } from './parameters.ts'

export type Kind = 'block' | 'query' | 'result'
export type Form = 1 | 2 | 3

export const HEADER_BYTES = 48
/** Seed of SEAL's default generator. */
export const SEED_BYTES = 64

const MAGIC = [0x4b, 0x52, 0x48, 0x45] as const
const VERSION = 1
const KINDS = { block: 1, query: 2, result: 3 } as const satisfies Record<Kind, number>
/** Which forms a kind may have: a query is always made by the key holder, a result is always a product. */
const FORMS = { block: [1, 2], query: [1], result: [3] } as const satisfies Record<
  Kind,
  readonly Form[]
>

/** Bytes of one packed polynomial; N is a multiple of 8. */
export const polynomialBytes = ({ degree, modulusBits }: ParameterSet): number =>
  (degree * modulusBits) / 8

/** Ciphertexts of a kind: a result is the sum over the chunks, one ciphertext. */
export const chunksOf = (g: Geometry, kind: Kind): number => (kind === 'result' ? 1 : g.chunks)

/** Bytes of one chunk. */
export function chunkBytes(g: Geometry, form: Form): number {
  const polynomial = polynomialBytes(g.set)
  return form === 1 ? polynomial + SEED_BYTES : form * polynomial
}

/** The only length that a kind in a form has. */
export const ciphertextLength = (g: Geometry, kind: Kind, form: Form): number =>
  HEADER_BYTES + chunksOf(g, kind) * chunkBytes(g, form)

/** Writes the 48 bytes before the chunks. */
export function writeHeader(g: Geometry, kind: Kind, form: Form, into: Uint8Array): void {
  into.set([...MAGIC, VERSION, KINDS[kind], form, g.set.modulusBits])
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength)
  view.setUint32(8, g.set.degree, true)
  view.setUint32(12, chunksOf(g, kind), true)
  into.set(g.layoutDigest, 16)
}

function refuse(kind: Kind, where: string, expected: string, got: string): never {
  throw new EmbeddingError(
    'CIPHERTEXT_INVALID',
    `the ${kind} is no ciphertext of this collection`,
    {
      where,
      expected,
      got,
    },
  )
}

/** First difference between a header and the one it should be, by field. */
function checkHeader(g: Geometry, kind: Kind, bytes: Uint8Array): Form {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const is = (where: string, expected: number, got: number): void => {
    if (got !== expected) refuse(kind, where, String(expected), String(got))
  }
  MAGIC.forEach((byte, i) => is(`byte ${i} of the magic number`, byte, view.getUint8(i)))
  is('version', VERSION, view.getUint8(4))
  is('kind', KINDS[kind], view.getUint8(5))
  const form = FORMS[kind].find((one) => one === view.getUint8(6))
  if (form === undefined) {
    refuse(kind, 'form', FORMS[kind].join(' or '), String(view.getUint8(6)))
  }
  is('bits of a residue', g.set.modulusBits, view.getUint8(7))
  is('degree', g.set.degree, view.getUint32(8, true))
  is('number of chunks', chunksOf(g, kind), view.getUint32(12, true))
  if (!equal(bytes.subarray(16, HEADER_BYTES), g.layoutDigest)) {
    refuse(kind, 'layout digest', `${g.set.name}, ${g.metric}, ${g.dimensions}`, 'another layout')
  }
  return form
}

/**
 * Checks header and exact length before anything else looks at the bytes. Residues are checked where they are
 * unpacked. `body` is a view from offset 48.
 * @throws EmbeddingError CIPHERTEXT_INVALID.
 */
export function checkCiphertexts(
  g: Geometry,
  kind: Kind,
  bytes: Uint8Array,
): { readonly form: Form; readonly body: Uint8Array } {
  if (!(bytes instanceof Uint8Array) || bytes.length < HEADER_BYTES) {
    const got = bytes instanceof Uint8Array ? `${bytes.length} bytes` : typeof bytes
    refuse(kind, 'header', `${HEADER_BYTES} bytes`, got)
  }
  const form = checkHeader(g, kind, bytes)
  const length = ciphertextLength(g, kind, form)
  if (bytes.length !== length) refuse(kind, 'length', `${length} bytes`, `${bytes.length} bytes`)
  return { form, body: bytes.subarray(HEADER_BYTES) }
}
