/**
 * Comparison of a key that is already there with the template of its role: what creation does to its own
 * keys, for keys a process found after a crash.
 */
import { CKO } from './constants.ts'
import type { Place } from './connection.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { isSecretRole, secretAttributes, templateInputs } from './generate.ts'
import type { KwpCapability } from './kwp.ts'
import { readBack } from './read-back.ts'
import { bestScheme } from './signature.ts'
import { pairTemplates, secretIdentity } from './template.ts'
import type { KeySpec, Waiver } from './types.ts'

/**
 * Reads back, compares, tightens, compares again; returns what is waived.
 * @throws TokenError TEMPLATE_NOT_HONOURED naming the attribute; the object stays for the caller to judge.
 */
export function conform(
  place: Place,
  object: ObjectHandle,
  spec: KeySpec,
  kwp: KwpCapability | undefined,
): Waiver[] {
  const { role, label, id } = spec
  const where = `key ${label}`
  if (isSecretRole(role)) {
    return readBack(
      place,
      object,
      secretAttributes(place, { ...spec, role }, kwp),
      secretIdentity(spec),
      where,
    )
  }
  const scheme = bestScheme(place.cryptoki.mechanismList(place.slotId))
  const { privateKey } = pairTemplates(role, templateInputs(spec, { signature: scheme.algorithm }))
  const identity = { CLASS: CKO.PRIVATE_KEY, KEY_TYPE: scheme.keyType, LABEL: label, ID: id }
  return readBack(place, object, privateKey, identity, where)
}
