/**
 * Trust nothing the token returns: after every creation the attributes are read back, compared with
 * the template, tightened where the token allows it, and compared again. What still differs is either
 * a recorded waiver or the end of the object.
 */
import { equal } from '../bytes.ts'
import { Pkcs11Error, TokenError } from '../errors.ts'
import { UNAVAILABLE } from './attribute.ts'
import type { AttributeName, AttributeRead, Template } from './attribute.ts'
import { mechanismName } from './constants-ckm.ts'
import { readAttributes } from './attribute-read.ts'
import type { Reads } from './attribute-read.ts'
import type { ObjectHandle } from './cryptoki.ts'
import type { Place } from './connection.ts'
import { toTemplate } from './template.ts'
import type { TemplateAttribute } from './template.ts'
import type { Waiver } from './types.ts'

const PROVENANCE = [
  'SENSITIVE',
  'ALWAYS_SENSITIVE',
  'EXTRACTABLE',
  'NEVER_EXTRACTABLE',
  'LOCAL',
  'KEY_GEN_MECHANISM',
] as const satisfies readonly AttributeName[]

function same(wanted: unknown, got: unknown): boolean {
  if (wanted instanceof Uint8Array) return got instanceof Uint8Array && equal(wanted, got)
  if (Array.isArray(wanted)) {
    // ALLOWED_MECHANISMS is a set.
    const list: unknown[] = wanted
    return (
      Array.isArray(got) && got.length === list.length && list.every((item) => got.includes(item))
    )
  }
  if (typeof wanted === 'object' && wanted !== null) {
    if (typeof got !== 'object' || got === null) return false
    const entries = Object.entries(wanted)
    const have: ReadonlyMap<string, unknown> = new Map(Object.entries(got))
    return have.size === entries.length && entries.every(([name, is]) => same(is, have.get(name)))
  }
  return wanted === got
}

function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.map((type) => mechanismName(type as number)).join(' ')
  return JSON.stringify(value)
}

/** What was read, for errors and waivers; no key values are ever read here. */
function readText(read: AttributeRead | undefined): string {
  if (read === undefined) return 'absent'
  if (read.status === 'value') return valueText(read.value)
  return read.status === 'failed' ? read.rv : read.status
}

const holds = (reads: Reads, { name, value }: TemplateAttribute): boolean => {
  const read: AttributeRead | undefined = reads.get(name)
  return read?.status === 'value' && same(value, read.value)
}

/**
 * Attributes that no honest token reports together (PKCS#11 v3.2 §4.9, table 27).
 * The name of the first contradiction, or undefined.
 */
export function contradiction(reads: Pick<Reads, 'value'>): string | undefined {
  const is = (name: (typeof PROVENANCE)[number]): unknown => reads.value(name)
  if (is('SENSITIVE') === false && is('ALWAYS_SENSITIVE') === true) {
    return 'CKA_SENSITIVE=false with CKA_ALWAYS_SENSITIVE=true'
  }
  if (is('EXTRACTABLE') === true && is('NEVER_EXTRACTABLE') === true) {
    return 'CKA_EXTRACTABLE=true with CKA_NEVER_EXTRACTABLE=true'
  }
  const made = is('KEY_GEN_MECHANISM')
  if (is('LOCAL') === false && made !== undefined && made !== UNAVAILABLE) {
    return 'CKA_LOCAL=false with a CKA_KEY_GEN_MECHANISM'
  }
  return undefined
}

/** @throws TokenError TEMPLATE_NOT_HONOURED naming the pair. */
function assertConsistent(place: Place, object: ObjectHandle, where: string): void {
  const found = contradiction(place.cryptoki.getAttributes(place.session, object, PROVENANCE))
  if (found === undefined) return
  throw new TokenError('TEMPLATE_NOT_HONOURED', 'the token contradicts itself about a key', {
    where,
    expected: 'attributes that can be true together',
    got: found,
    hint: 'the object may have been changed behind the token; do not use it',
  })
}

/** One call for all, then one by one: a token may refuse the lot for one of them. */
function tighten(place: Place, object: ObjectHandle, loose: readonly TemplateAttribute[]): void {
  const { cryptoki, session } = place
  const attempt = (attributes: readonly TemplateAttribute[]): boolean => {
    try {
      cryptoki.setAttributes(session, object, toTemplate(attributes))
      return true
    } catch (error) {
      if (error instanceof Pkcs11Error && error.retry === 'never') return false
      throw error
    }
  }
  if (attempt(loose) || loose.length === 1) return
  for (const attribute of loose) attempt([attribute])
}

/**
 * Compares `object` with `wanted`, tightens, compares again.
 * @returns what was waived.
 * @throws TokenError TEMPLATE_NOT_HONOURED naming the attribute. The object is left for the caller to destroy.
 */
export function readBack(
  place: Place,
  object: ObjectHandle,
  wanted: readonly TemplateAttribute[],
  identity: Template,
  where: string,
): Waiver[] {
  const names = wanted.map(({ name }) => name)
  const exact = Object.entries(identity) as [AttributeName, unknown][]
  let reads = readAttributes(place, object, [...names, ...exact.map(([name]) => name)])
  for (const [name, value] of exact) {
    const read: AttributeRead | undefined = reads.get(name)
    if (read?.status === 'value' && same(value, read.value)) continue
    refuse(where, name, valueText(value), readText(read))
  }
  const loose = wanted.filter((attribute) => !holds(reads, attribute))
  if (loose.length > 0) {
    tighten(place, object, loose)
    reads = readAttributes(place, object, names)
  }
  const waivers: Waiver[] = []
  for (const attribute of wanted) {
    if (holds(reads, attribute)) continue
    const got = readText(reads.get(attribute.name))
    const expected = valueText(attribute.value)
    if (!attribute.waivable) refuse(where, attribute.name, expected, got)
    waivers.push({ attribute: `CKA_${attribute.name}`, wanted: expected, got })
  }
  assertConsistent(place, object, where)
  return waivers
}

function refuse(where: string, name: string, expected: string, got: string): never {
  throw new TokenError('TEMPLATE_NOT_HONOURED', `the token did not honour CKA_${name}`, {
    where: `${where}: CKA_${name}`,
    expected,
    got,
    hint: 'the object was destroyed; keyrite doctor shows what this module enforces',
  })
}
