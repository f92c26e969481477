/**
 * Attributes as plain records: for inventories, transcripts and people. No key values, check values,
 * points or dates are read: values are secret, the others differ between two runs of the same plan,
 * and SoftHSM fails on dates of private objects.
 */
import { toHex } from '../bytes.ts'
import { UNAVAILABLE } from './attribute.ts'
import type { AttributeName, AttributeRead } from './attribute.ts'
import { ATTRIBUTE_KINDS } from './attribute-kinds.ts'
import { readAttributes } from './attribute-read.ts'
import { mechanismName } from './constants-ckm.ts'
import type { Place } from './connection.ts'
import type { ObjectHandle } from './cryptoki.ts'
import type { AttributeRecord, ObjectRecord } from './types.ts'

const STORAGE = [
  'TOKEN',
  'PRIVATE',
  'MODIFIABLE',
  'COPYABLE',
  'DESTROYABLE',
] as const satisfies readonly AttributeName[]
const KEY = [
  'DERIVE',
  'LOCAL',
  'KEY_GEN_MECHANISM',
  'ALLOWED_MECHANISMS',
] as const satisfies readonly AttributeName[]
const PROTECTION = [
  'SENSITIVE',
  'ALWAYS_SENSITIVE',
  'EXTRACTABLE',
  'NEVER_EXTRACTABLE',
  'WRAP_WITH_TRUSTED',
  'UNWRAP_TEMPLATE',
] as const satisfies readonly AttributeName[]

/** What is read of each class, in the order of PKCS#11 v3.2 §4.4 to §4.10. */
const RECORDED: Readonly<Record<ObjectRecord['class'], readonly AttributeName[]>> = {
  'secret-key': [
    ...STORAGE,
    ...KEY,
    ...PROTECTION,
    ...(['ENCRYPT', 'DECRYPT', 'SIGN', 'VERIFY', 'WRAP', 'UNWRAP'] as const),
    ...(['TRUSTED', 'WRAP_TEMPLATE', 'VALUE_LEN'] as const),
  ],
  'private-key': [
    ...STORAGE,
    ...KEY,
    ...PROTECTION,
    ...(['DECRYPT', 'SIGN', 'SIGN_RECOVER', 'UNWRAP', 'ALWAYS_AUTHENTICATE'] as const),
    'EC_PARAMS',
  ],
  'public-key': [
    ...STORAGE,
    ...KEY,
    ...(['ENCRYPT', 'VERIFY', 'VERIFY_RECOVER', 'WRAP', 'TRUSTED'] as const),
    ...(['EC_PARAMS', 'MODULUS_BITS'] as const),
  ],
  certificate: [...STORAGE, 'CERTIFICATE_TYPE', 'TRUSTED', 'SUBJECT', 'ISSUER', 'SERIAL_NUMBER'],
  data: [...STORAGE, 'APPLICATION', 'OBJECT_ID'],
  other: STORAGE,
}

function flatten(name: AttributeName, value: unknown): AttributeRecord[string] | undefined {
  if (name === 'KEY_GEN_MECHANISM') {
    return value === UNAVAILABLE ? 'unavailable' : mechanismName(value as number)
  }
  if (value instanceof Uint8Array) return toHex(value)
  if (ATTRIBUTE_KINDS[name] === 'mechanisms') return (value as number[]).map(mechanismName).sort()
  if (ATTRIBUTE_KINDS[name] === 'template') {
    return Object.entries(value as object)
      .map(([inner, is]) => `${inner}=${is instanceof Uint8Array ? toHex(is) : JSON.stringify(is)}`)
      .sort()
  }
  return value as string | number | boolean
}

/** An attribute the token fails on is on the record too: half-written objects look like that. */
function recordOf(name: AttributeName, read: AttributeRead | undefined) {
  if (read?.status === 'value') return flatten(name, read.value)
  if (read?.status === 'failed') return `(${read.rv})`
  if (read?.status === 'malformed') return `(malformed) ${toHex(read.bytes)}`
  return undefined
}

/** The recorded attributes of an object of a class. */
export function readRecord(
  place: Place,
  object: ObjectHandle,
  objectClass: ObjectRecord['class'],
): AttributeRecord {
  const names = RECORDED[objectClass]
  const reads = readAttributes(place, object, names)
  const out: Record<string, AttributeRecord[string]> = {}
  for (const name of names) {
    const value = recordOf(name, reads.get(name))
    if (value !== undefined) out[name] = value
  }
  return out
}
