/** Keys as the plan declares them, the ledger remembers them, and the token shows them. */
import { fromHex, toBase64, toHex } from '../../bytes.ts'
import { KeyriteError, Pkcs11Error, PolicyError, TokenError } from '../../errors.ts'
import type { KekOnToken } from '../../lifecycle/index.ts'
import type { Key, KeySpec, Token } from '../../pkcs11/index.ts'
import type { Kcv } from '../../pkcs11/index.ts'
import type { Approval } from '../../types.ts'
import type { Ceremony } from '../context.ts'
import type { Ledger } from '../entries.ts'
import { openToken } from '../login.ts'
import type { PlanKey } from '../plan.ts'
import type { Found } from '../write-ahead.ts'

/** A key of the ledger. */
export type KnownKey = Ledger['keys'][string]

/** What is recorded of a key when it comes into being. */
export type Born = {
  readonly uri: string
  readonly kcv: { readonly method: Kcv['method']; readonly value: string }
  /** SubjectPublicKeyInfo, base64, of a key pair. */
  readonly publicKey: string | null
  /** Attributes of the role's template that the token would not give this key. */
  readonly waivers: readonly {
    readonly attribute: string
    readonly wanted: string
    readonly got: string
  }[]
}

/** The plan's declaration of a key. */
export function plannedKey(ceremony: Ceremony, name: string): PlanKey {
  const planned = ceremony.plan.keys[name]
  if (planned !== undefined) return planned
  throw new PolicyError('STATE_MISMATCH', 'CER-PLAN-1', `the plan declares no key ${name}`)
}

/** What the ledger knows of a key that exists; throws STATE_MISMATCH. */
export function knownKey(ceremony: Ceremony, name: string): KnownKey {
  const entry = ceremony.ledger.keys[name]
  if (entry !== undefined && entry.state !== 'destroyed') return entry
  throw new PolicyError('STATE_MISMATCH', 'KEY-STATE-1', `key ${name} is not known to exist`, {
    expected: 'made in this ceremony, or listed in the ledger of the previous transcript',
    got: entry?.state ?? 'unknown',
  })
}

/** The check value of a key the ledger knows; of an embedding seed also when only its files are left. */
export function knownKcv(ceremony: Ceremony, name: string): KnownKey['kcv'] {
  const entry = ceremony.ledger.keys[name]
  return entry?.role === 'embedding-seed' ? entry.kcv : knownKey(ceremony, name).kcv
}

const classOf = ({ publicKey }: Pick<KnownKey, 'publicKey'>): Key['class'] =>
  publicKey === undefined ? 'secret-key' : 'private-key'

/** The one key with this CKA_ID, or undefined; throws KEY_AMBIGUOUS. */
export async function findById(
  token: Token,
  id: string,
  keyClass: Key['class'],
): Promise<Key | undefined> {
  const found = await token.find({ id: fromHex(id), class: keyClass })
  if (found.length > 1) {
    throw new TokenError('KEY_AMBIGUOUS', 'several keys have the same CKA_ID', { where: id })
  }
  return found[0]
}

/** A key of the ledger on its token: found by id, compared by KCV. Throws KEY_NOT_FOUND, KEY_CHANGED. */
export async function ledgerKey(
  ceremony: Ceremony,
  name: string,
  step: string,
): Promise<KekOnToken> {
  const entry = knownKey(ceremony, name)
  const { token } = await openToken(ceremony, entry.token, step)
  const key = await findById(token, entry.id, classOf(entry))
  if (key === undefined) {
    throw new TokenError('KEY_NOT_FOUND', `key ${name} is not on its token`, {
      where: `step ${step}`,
      expected: `CKA_ID ${entry.id}`,
    })
  }
  const { value } = await key.kcv()
  if (value !== entry.kcv.value) {
    throw new TokenError('KEY_CHANGED', `key ${name} is not the key the ledger knows`, {
      where: key.uri,
      expected: entry.kcv.value,
      got: value,
    })
  }
  return { token, key }
}

/** What is recorded of a new key; `waivers` as found when it was compared with its template. */
export async function describe(key: Key, waivers = key.waivers): Promise<Born> {
  const { method, value } = await key.kcv()
  const publicKey = key.class === 'private-key' ? toBase64((await key.signer()).publicKey) : null
  return {
    uri: key.uri,
    kcv: { method, value },
    publicKey,
    waivers: waivers.map(({ attribute, wanted, got }) => ({ attribute, wanted, got })),
  }
}

/** A token that went away says nothing about the object. */
const isLoss = (error: unknown): boolean =>
  (error instanceof TokenError && error.code === 'CONNECTION_LOST') ||
  (error instanceof Pkcs11Error && error.retry !== 'never')

/** Destroys every object with this id; after a crash some may be torn. */
export async function destroyById(token: Token, id: string, approval: Approval): Promise<void> {
  for (const key of await token.find({ id: fromHex(id) })) await token.destroy(key, approval)
}

/**
 * Looks for an object by its deterministic id after a crash. It counts as done only when it conforms to
 * the template that the interrupted call would have compared it with.
 */
export async function inspectObject(token: Token, spec: KeySpec): Promise<Found<Born>> {
  const { role } = spec
  const id = toHex(spec.id)
  const keyClass = role === 'log-signer' || role === 'approval' ? 'private-key' : 'secret-key'
  const objects = (await token.inventory()).filter((object) => object.id === id)
  if (objects.length === 0) return { state: 'not-done' }
  const partial = {
    state: 'partial' as const,
    remove: (approval: Approval) => destroyById(token, id, approval),
  }
  try {
    const key = await findById(token, id, keyClass)
    if (key === undefined) return partial
    const waivers = await token.conform(key, spec)
    return { state: 'done', data: await describe(key, waivers) }
  } catch (error) {
    // A torn object answers some calls and fails others, a loose one cannot be tightened: both must go.
    if (error instanceof KeyriteError && !isLoss(error)) return partial
    throw error
  }
}

/** A key as the ledger knows it, from what was recorded at its birth. */
export const knownFrom = (
  key: Omit<KnownKey, 'kcv' | 'publicKey'>,
  { kcv, publicKey }: Born,
): KnownKey => ({
  ...key,
  kcv: { method: kcv.method, value: kcv.value },
  ...(publicKey === null ? {} : { publicKey }),
})

/** Notes a key in the ledger. */
export function remember(
  ceremony: Ceremony,
  name: string,
  id: Uint8Array,
  born: Born,
  state: 'birth' | 'present',
): void {
  const { token, role } = plannedKey(ceremony, name)
  ceremony.ledger.keys[name] = knownFrom({ token, role, label: name, id: toHex(id), state }, born)
}

/** Labels are unique on a token; an interrupted step may find its own object. */
export async function refuseTaken(
  ceremony: Ceremony,
  token: Token,
  name: string,
  step: string,
): Promise<void> {
  if (ceremony.journal.of('intent', step).length > 0) return
  if ((await token.find({ label: name })).length === 0) return
  throw new TokenError('KEY_EXISTS', `an object labelled ${name} is already on the token`, {
    where: `step ${step}`,
    expected: 'a free label',
    hint: 'zeroise the old key in a ceremony of its own, or name the new one differently',
  })
}
