/** What is on a token: written down object by object, and compared with what the ledger knows. */
import { canonicalDigest } from '../../canonical.ts'
import { toHex } from '../../bytes.ts'
import { PolicyError } from '../../errors.ts'
import type { ObjectRecord } from '../../pkcs11/index.ts'
import type { Json, JsonObject } from '../../types.ts'
import type { Ceremony } from '../context.ts'
import { openToken } from '../login.ts'

/** A log line holds at most 64 KiB; an object takes some 500 bytes of it. */
const OBJECTS_PER_ENTRY = 64

/** SHA-256 over the canonical list of objects: equal for equal structure, whatever the key values. */
const inventoryRoot = (objects: readonly ObjectRecord[]): string =>
  toHex(canonicalDigest(objects as unknown as Json))

/** An object as a transcript lists it: `flags` are the attributes that are true. */
const listed = ({ class: kind, label, id, keyType, attributes }: ObjectRecord): JsonObject => ({
  class: kind,
  label,
  id,
  ...(keyType === undefined ? {} : { keyType }),
  flags: Object.keys(attributes)
    .filter((name) => attributes[name] === true)
    .sort(),
})

interface Inventory {
  readonly objects: readonly ObjectRecord[]
  readonly summary: JsonObject & { readonly root: string }
}

/** Writes every object down (`token.objects` entries) and returns the summary that closes the list. */
async function writeInventory(ceremony: Ceremony, name: string, step: string): Promise<Inventory> {
  const { token } = await openToken(ceremony, name, step)
  const objects = await token.inventory()
  for (let from = 0; from < objects.length; from += OBJECTS_PER_ENTRY) {
    const part = objects.slice(from, from + OBJECTS_PER_ENTRY).map(listed)
    await ceremony.journal.append(
      'record',
      step,
      { name: 'token.objects', data: { token: name, from, objects: part } },
      ['module-reported'],
    )
  }
  return {
    objects,
    summary: { token: name, count: objects.length, root: inventoryRoot(objects) },
  }
}

/** For `record: token.inventory`. */
export const recordInventory = async (
  ceremony: Ceremony,
  name: string,
  step: string,
): Promise<Inventory['summary']> => (await writeInventory(ceremony, name, step)).summary

/**
 * For `check: token.inventory`: every key on the token is one the ledger places there, once, and none is
 * missing. Throws STATE_MISMATCH naming the first difference.
 */
export async function checkInventory(
  ceremony: Ceremony,
  name: string,
  step: string,
): Promise<JsonObject> {
  const { objects, summary } = await writeInventory(ceremony, name, step)
  const known = Object.values(ceremony.ledger.keys).filter(
    (key) => key.token === name && key.state !== 'destroyed',
  )
  const keys = objects.filter((object) => object.class.endsWith('-key'))
  const differ = (got: string): never => {
    throw new PolicyError(
      'STATE_MISMATCH',
      'KEY-STATE-1',
      `the objects on ${name} are not as recorded`,
      {
        where: `step ${step}`,
        expected: known.map(({ label, id }) => `${label} (${id})`).join(', ') || 'no key',
        got,
      },
    )
  }
  for (const { class: kind, label, id } of keys) {
    if (!known.some((key) => key.id === id)) differ(`${kind} ${label} (${id}) is unknown`)
  }
  for (const { label, id, publicKey } of known) {
    const found = keys.filter((object) => object.id === id).length
    // A pair is two objects under one CKA_ID.
    const want = publicKey === undefined ? 1 : 2
    if (found !== want) differ(`${found} objects for ${label} (${id}), not ${want}`)
  }
  return summary
}
