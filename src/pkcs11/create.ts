/**
 * Creation: every way an object comes into being goes through {@link create}, so that none escapes the
 * read-back. The module is offered the whole template first. If it refuses, the waivable attributes it
 * does not take are found out on scratch objects, once per token and way of creation.
 */
import { Pkcs11Error, TokenError } from '../errors.ts'
import type { AttributeName, Template } from './attribute.ts'
import type { Place } from './connection.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { readBack } from './read-back.ts'
import { isRecoverable } from './recovery.ts'
import { isReturnValue } from './return-value.ts'
import { toTemplate } from './template.ts'
import type { TemplateAttribute } from './template.ts'
import type { KeySpec, Waiver } from './types.ts'

/** Attributes a token does not take, per way of creation; filled as they are found out. */
export type Unsupported = Map<string, ReadonlySet<AttributeName>>

/** One object to create. */
export interface Creation {
  /** `generate token`, `unwrap session`...: what {@link Unsupported} is remembered by. */
  readonly way: string
  readonly spec: KeySpec
  /** Attributes that are compared exactly and never waived. */
  readonly identity: Template
  readonly attributes: readonly TemplateAttribute[]
  /** Calls the module; returns what it made, the described object first. */
  readonly make: (template: Template) => readonly [ObjectHandle, ...ObjectHandle[]]
}

/** What {@link create} made. */
export interface Created {
  readonly handle: ObjectHandle
  /** The other objects of the same call: the public half of a pair. */
  readonly others: readonly ObjectHandle[]
  readonly waivers: readonly Waiver[]
}

const SCRATCH_LABEL = 'keyrite-attribute-probe'
const SCRATCH_ID_BYTES = 16

/** Whether a token may have meant "I do not take this attribute"; NSS says CKR_GENERAL_ERROR. */
export const mayBeTemplate = (error: unknown): error is Pkcs11Error =>
  isReturnValue(
    error,
    'ATTRIBUTE_TYPE_INVALID',
    'ATTRIBUTE_VALUE_INVALID',
    'ATTRIBUTE_READ_ONLY',
    'TEMPLATE_INCONSISTENT',
    'ACTION_PROHIBITED',
    'ARGUMENTS_BAD',
    'FUNCTION_FAILED',
    'GENERAL_ERROR',
  )

/** MODIFIABLE stays last: see `template.ts`. */
const template = (identity: Template, attributes: readonly TemplateAttribute[]): Template => ({
  ...identity,
  ...toTemplate(attributes),
})

/** Finds the waivable attributes that the module refuses, by trying them on objects that do not last. */
function findUnsupported(
  place: Place,
  { identity, attributes, make }: Creation,
  first: Pkcs11Error,
): Set<AttributeName> {
  const { cryptoki, session } = place
  const scratch: Template = {
    ...identity,
    LABEL: SCRATCH_LABEL,
    ID: cryptoki.generateRandom(session, SCRATCH_ID_BYTES),
  }
  const accepts = (kept: readonly TemplateAttribute[]): boolean => {
    try {
      const made = place.change(() => make(template(scratch, kept)))
      for (const object of made) cryptoki.destroyObject(session, object)
      return true
    } catch (error) {
      if (mayBeTemplate(error)) return false
      throw error
    }
  }
  const refused = new Set<AttributeName>()
  const kept = (plus?: TemplateAttribute) =>
    attributes.filter(
      (attribute) => !attribute.waivable || attribute === plus || accepted.has(attribute),
    )
  const accepted = new Set<TemplateAttribute>()
  if (!accepts(kept())) throw first
  for (const attribute of attributes) {
    if (!attribute.waivable) continue
    if (accepts(kept(attribute))) accepted.add(attribute)
    else refused.add(attribute.name)
  }
  return refused
}

function makeObjects(
  place: Place,
  unsupported: Unsupported,
  creation: Creation,
): readonly [ObjectHandle, ...ObjectHandle[]] {
  const { way, identity, attributes, make } = creation
  const attempt = (without: ReadonlySet<AttributeName>) =>
    place.change(() =>
      make(
        template(
          identity,
          attributes.filter(({ name }) => !without.has(name)),
        ),
      ),
    )
  const known = unsupported.get(way)
  try {
    return attempt(known ?? new Set())
  } catch (error) {
    if (known !== undefined || !mayBeTemplate(error)) throw error
    const found = findUnsupported(place, creation, error)
    const made = attempt(found)
    unsupported.set(way, found)
    return made
  }
}

/**
 * Creates, reads back, compares, tightens; or destroys and throws.
 * @throws TokenError TEMPLATE_NOT_HONOURED naming the attribute; Pkcs11Error of the creating call.
 */
export function create(place: Place, unsupported: Unsupported, creation: Creation): Created {
  const [handle, ...others] = makeObjects(place, unsupported, creation)
  const waivers = verifyOrDestroy(place, [handle, ...others], () =>
    checkWaivers(place, handle, creation),
  )
  return { handle, others, waivers }
}

function checkWaivers(place: Place, handle: ObjectHandle, creation: Creation): readonly Waiver[] {
  const { attributes, identity, spec } = creation
  const waivers = readBack(place, handle, attributes, identity, `key ${spec.label}`)
  const [first] = waivers
  if (first === undefined || spec.allowWaivers !== false) return waivers
  throw new TokenError('TEMPLATE_NOT_HONOURED', `the token did not honour ${first.attribute}`, {
    where: `key ${spec.label}: ${first.attribute}`,
    expected: first.wanted,
    got: first.got,
    hint: 'the object was destroyed, because no waiver is allowed for this key',
  })
}

/** Runs a check; when it throws, the objects are destroyed and the check's error is thrown. */
export function verifyOrDestroy<T>(
  place: Place,
  objects: readonly ObjectHandle[],
  check: () => T,
): T {
  try {
    return check()
  } catch (error) {
    // A lost connection says nothing about the key, and would fail the destruction as well.
    if (isRecoverable(error)) throw error
    for (const object of objects) {
      try {
        place.cryptoki.destroyObject(place.session, object)
      } catch (cause) {
        if (!(cause instanceof Pkcs11Error)) throw cause
        throw new TokenError('TEMPLATE_NOT_HONOURED', 'a wrong key could not be destroyed', {
          where: error instanceof TokenError ? error.where : undefined,
          expected: 'C_DestroyObject of a key whose attributes are not those of its template',
          got: cause.message,
          hint: 'the key is still on the token: remove it by hand',
          cause: error,
        })
      }
    }
    throw error
  }
}
