/** SSH wire encoding (RFC 4251 §5): uint32, string, mpint. Strict reader, no allocation beyond its input. */
import { concat, fromUtf8, utf8 } from '../bytes.ts'
import { FormatError } from '../errors.ts'

/** `uint32`: four bytes, most significant first. */
export function wireUint32(value: number): Uint8Array {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setUint32(0, value)
  return out
}

/** `string`: length, then the bytes. */
export function wireString(value: Uint8Array | string): Uint8Array {
  const bytes = typeof value === 'string' ? utf8(value) : value
  return concat(wireUint32(bytes.length), bytes)
}

/** Bytes without leading zeros. */
const unpadded = (bytes: Uint8Array): Uint8Array => {
  const first = bytes.findIndex((byte) => byte !== 0)
  return first < 0 ? new Uint8Array() : bytes.subarray(first)
}

/** `mpint` of a non-negative number given as big-endian bytes: no needless zeros, top bit clear. */
export function wireMpint(magnitude: Uint8Array): Uint8Array {
  const bytes = unpadded(magnitude)
  const sign = (bytes[0] ?? 0) > 127 ? Uint8Array.of(0) : new Uint8Array()
  return wireString(concat(sign, bytes))
}

/** Reads one structure front to back; every method throws FormatError on input that is not exactly that. */
export interface WireReader {
  bytes(length: number): Uint8Array
  uint8(): number
  uint32(): number
  string(): Uint8Array
  /** A `string` holding UTF-8. */
  text(): string
  /** Magnitude of a non-negative, minimally encoded `mpint`. */
  mpint(): Uint8Array
  /** Refuses bytes that are left over. */
  end(): void
}

/** A reader over `data`; `where` names the structure in errors. Returned arrays are views. */
export function wireReader(data: Uint8Array, where: string): WireReader {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  let at = 0
  const fail = (expected: string, got: string): never => {
    throw new FormatError('malformed SSH data', { where, expected, got })
  }
  const bytes = (length: number): Uint8Array => {
    if (length > data.length - at) fail(`${length} more bytes`, `${data.length - at}`)
    at += length
    return data.subarray(at - length, at)
  }
  const uint32 = (): number => {
    bytes(4)
    return view.getUint32(at - 4)
  }
  const string = (): Uint8Array => bytes(uint32())
  return {
    bytes,
    uint32,
    string,
    uint8: () => bytes(1)[0] ?? 0,
    text: () => fromUtf8(string(), where),
    mpint() {
      const value = string()
      const [first = 0, second = 0] = value
      if (first > 127) fail('a non-negative mpint', 'a negative one')
      // RFC 4251 §5: "Unnecessary leading bytes with the value 0 ... MUST NOT be included."
      if (value.length > 0 && first === 0 && second < 128) fail('a minimal mpint', 'a padded one')
      return unpadded(value)
    },
    end() {
      if (at !== data.length) fail('the end', `${data.length - at} more bytes`)
    },
  }
}
