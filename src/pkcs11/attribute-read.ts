/**
 * Reading attributes through clients that cannot carry array attributes. p11-kit 0.24 answers
 * CKR_DEVICE_ERROR to ALLOWED_MECHANISMS and UNWRAP_TEMPLATE of a healthy token, which must not look
 * like a lost connection.
 */
import { Pkcs11Error } from '../errors.ts'
import type { AttributeName, AttributeRead, AttributeValue } from './attribute.ts'
import { ATTRIBUTE_KINDS } from './attribute-kinds.ts'
import type { Place } from './connection.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { isRecoverable } from './recovery.ts'

/** Attributes that were read, by name. */
export interface Reads {
  get(name: AttributeName): AttributeRead | undefined
  /** The value, or `undefined` for every other status. */
  value<Name extends AttributeName>(name: Name): AttributeValue<Name> | undefined
}

const isArray = (name: AttributeName): boolean =>
  ATTRIBUTE_KINDS[name] === 'mechanisms' || ATTRIBUTE_KINDS[name] === 'template'

function readArray(place: Place, object: ObjectHandle, name: AttributeName): AttributeRead {
  const { cryptoki, session } = place
  try {
    return cryptoki.getAttributes(session, object, [name]).get(name) ?? { status: 'absent' }
  } catch (error) {
    if (!isRecoverable(error) || error.category !== 'device') throw error
    // A connection that is really lost fails this as well.
    cryptoki.getAttributes(session, object, ['CLASS'])
    return { status: 'failed', ckr: error.ckr, rv: error.rv }
  }
}

/** Reads `names`; an array attribute the client cannot carry is `failed`. @throws Pkcs11Error. */
export function readAttributes(
  place: Place,
  object: ObjectHandle,
  names: readonly AttributeName[],
): Reads {
  const plain = place.cryptoki.getAttributes(
    place.session,
    object,
    names.filter((name) => !isArray(name)),
  )
  const arrays = new Map(
    names.filter(isArray).map((name) => [name, readArray(place, object, name)]),
  )
  const get = (name: AttributeName): AttributeRead | undefined =>
    arrays.get(name) ?? plain.get(name)
  return {
    get,
    value: <Name extends AttributeName>(name: Name) => {
      const read = get(name)
      return read?.status === 'value' ? (read.value as AttributeValue<Name>) : undefined
    },
  }
}

/** Whether a token refused a call for good: not a lost session, login or connection. */
export const isRefusal = (error: unknown): error is Pkcs11Error =>
  error instanceof Pkcs11Error && !isRecoverable(error)
