/**
 * What is on a token: every object this login can see, in one order that depends on the objects alone,
 * so that two runs of the same plan give the same inventory and its hash can be compared.
 */
import { toHex } from '../bytes.ts'
import { canonicalJson } from '../canonical.ts'
import { readRecord } from './attribute-record.ts'
import { CKO } from './constants.ts'
import { assertLogin } from './connection.ts'
import type { Place } from './connection.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { keyTypeName } from './key.ts'
import type { ObjectRecord } from './types.ts'

const CLASSES: ReadonlyMap<number, ObjectRecord['class']> = new Map([
  [CKO.SECRET_KEY, 'secret-key'],
  [CKO.PRIVATE_KEY, 'private-key'],
  [CKO.PUBLIC_KEY, 'public-key'],
  [CKO.CERTIFICATE, 'certificate'],
  [CKO.DATA, 'data'],
])
const ORDER: readonly ObjectRecord['class'][] = [...CLASSES.values(), 'other']

function record(place: Place, object: ObjectHandle): ObjectRecord {
  const { cryptoki, session } = place
  const reads = cryptoki.getAttributes(session, object, ['CLASS', 'LABEL', 'ID', 'KEY_TYPE'])
  const objectClass = CLASSES.get(reads.value('CLASS') ?? -1) ?? 'other'
  const keyType = reads.value('KEY_TYPE')
  return {
    class: objectClass,
    label: reads.value('LABEL') ?? '',
    id: toHex(reads.value('ID') ?? new Uint8Array()),
    ...(keyType === undefined ? {} : { keyType: keyTypeName(keyType) }),
    attributes: readRecord(place, object, objectClass),
  }
}

/** By code unit, which no locale changes. */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Every visible object, sorted by class, label, id, attributes. */
export function takeInventory(place: Place): ObjectRecord[] {
  assertLogin(place)
  return place.cryptoki
    .findObjects(place.session, {})
    .map((object) => {
      const entry = record(place, object)
      return { entry, text: canonicalJson(entry.attributes) }
    })
    .sort(
      (a, b) =>
        ORDER.indexOf(a.entry.class) - ORDER.indexOf(b.entry.class) ||
        compare(a.entry.label, b.entry.label) ||
        compare(a.entry.id, b.entry.id) ||
        compare(a.text, b.text),
    )
    .map(({ entry }) => entry)
}
