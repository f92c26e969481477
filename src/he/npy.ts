/**
 * NumPy's array file, format versions 1.0 to 3.0 (NEP 1 and `numpy.lib.format`): magic, version, length of
 * the header, a Python literal of three keys, then the numbers. Matrices of little-endian floats only.
 */
import { concat, utf8 } from '../bytes.ts'
import { FormatError } from '../errors.ts'

/** Bytes that say how long the header is, at most. */
export const NPY_PREFIX_BYTES = 12

/** NumPy writes headers of 128 bytes; more is hostile, not large. */
const MAX_HEADER_BYTES = 65_536

/** How numbers are kept: bytes of each. */
export type FloatType = 'float16' | 'float32' | 'float64'

/** What the header says. */
export interface NpyHeader {
  readonly type: FloatType
  readonly rows: number
  readonly columns: number
}

const TYPES: Readonly<Record<string, FloatType>> = {
  '<f2': 'float16',
  '<f4': 'float32',
  '<f8': 'float64',
}

/** Bytes of one number. */
export const FLOAT_BYTES: Readonly<Record<FloatType, number>> = {
  float16: 2,
  float32: 4,
  float64: 8,
}

const MAGIC = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59)

const refuse = (where: string, message: string, expected: string, got?: string): FormatError =>
  new FormatError(message, { where, expected, got })

/** Where the header stands, from the first {@link NPY_PREFIX_BYTES}. @throws FormatError. */
export function npyHeaderSpan(
  prefix: Uint8Array,
  where: string,
): { readonly start: number; readonly end: number } {
  const [major = 0, minor = 0] = prefix.subarray(6)
  if (prefix.length < NPY_PREFIX_BYTES || !MAGIC.every((byte, i) => prefix[i] === byte)) {
    throw refuse(where, 'not an NPY file', 'a file written by numpy.save')
  }
  if (major < 1 || major > 3 || minor !== 0) {
    throw refuse(where, 'an unknown version of NPY', '1.0, 2.0 or 3.0', `${major}.${minor}`)
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength)
  const start = major === 1 ? 10 : 12
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true)
  if (length > MAX_HEADER_BYTES) {
    const expected = `at most ${MAX_HEADER_BYTES} bytes`
    throw refuse(where, 'the NPY header is too long', expected, `${length} bytes`)
  }
  return { start, end: start + length }
}

/** A key and its value in the literal; keys may come in any order. */
const ENTRY =
  /^\s*(['"])(descr|fortran_order|shape)\1\s*:\s*(?:(['"])([^'"\\]*)\3|(True|False)|\(([\dL,\s]*)\))\s*(?:,|$)/

/** The header's text. @throws FormatError on what is not a matrix of floats row by row. */
export function parseNpyHeader(text: string, where: string): NpyHeader {
  const found = new Map<string, string>()
  let rest = /^\s*\{(.*)\}\s*$/s.exec(text)?.[1] ?? '?'
  while (rest.trim() !== '') {
    const entry = ENTRY.exec(rest)
    const [whole = '', , key = '', , descr, order, shape] = entry ?? []
    if (entry === null || found.has(key)) {
      throw refuse(where, 'the NPY header cannot be read', 'descr, fortran_order and shape')
    }
    found.set(key, descr ?? order ?? shape ?? '')
    rest = rest.slice(whole.length)
  }
  const type = TYPES[found.get('descr') ?? '']
  if (type === undefined) {
    const expected = 'little-endian float16, float32 or float64'
    throw refuse(where, 'not floats that can be read', expected, found.get('descr'))
  }
  if (found.get('fortran_order') !== 'False') {
    const expected = 'C order: numpy.ascontiguousarray(array)'
    throw refuse(where, 'the matrix is stored column by column', expected, 'Fortran order')
  }
  const shape = /^\s*(\d{1,15})L?\s*,\s*(\d{1,9})L?\s*,?\s*$/.exec(found.get('shape') ?? '')
  if (shape === null || Number(shape[2]) === 0) {
    const expected = 'two dimensions: rows of vectors'
    throw refuse(where, 'not a matrix', expected, `(${found.get('shape') ?? ''})`)
  }
  return { type, rows: Number(shape[1]), columns: Number(shape[2]) }
}

/** Everything before the numbers, version 1.0, padded to a multiple of 64 bytes as the format asks. */
export function npyPreamble({ type, rows, columns }: NpyHeader): Uint8Array {
  const descr = Object.entries(TYPES).find(([, name]) => name === type)?.[0] ?? ''
  const literal = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`
  const padding = 63 - ((10 + literal.length) % 64)
  const header = utf8(`${literal}${' '.repeat(padding)}\n`)
  const length = Uint8Array.of(header.length & 0xff, header.length >> 8)
  return concat(MAGIC, Uint8Array.of(1, 0), length, header)
}

/** IEEE 754 binary16 as a number; Float16Array is not in every Node this runs on. */
function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** Little-endian numbers. float64 stay as they are, so that the caller sees which do not fit float32. */
export function decodeFloats(bytes: Uint8Array, type: FloatType): Float32Array | Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = bytes.length / FLOAT_BYTES[type]
  const numbers = type === 'float64' ? new Float64Array(length) : new Float32Array(length)
  if (type === 'float32') {
    for (let i = 0; i < length; i += 1) numbers[i] = view.getFloat32(4 * i, true)
  } else if (type === 'float64') {
    for (let i = 0; i < length; i += 1) numbers[i] = view.getFloat64(8 * i, true)
  } else {
    for (let i = 0; i < length; i += 1) numbers[i] = float16(view.getUint16(2 * i, true))
  }
  return numbers
}
