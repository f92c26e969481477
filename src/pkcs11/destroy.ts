/**
 * Destruction with proof: C_DestroyObject (PKCS#11 v3.2 §5.7.4), then the attempt to find the object
 * again. It proves that the token does not know the key any more; whether the bits are gone from its
 * storage, its backups and its clones is the token's affair.
 */
import { toHex } from '../bytes.ts'
import { Pkcs11Error, TokenError } from '../errors.ts'
import type { Approval } from '../types.ts'
import { assertLogin } from './connection.ts'
import type { Connection, Place } from './connection.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { findNamed, OBJECT_CLASS } from './key.ts'
import type { KeyName } from './key.ts'
import { isRecoverable } from './recovery.ts'

/** @throws TokenError ARGUMENT_INVALID when the value cannot be an approval. */
export function checkApproval(approval: Approval): void {
  const valid =
    Array.isArray(approval.by) &&
    approval.by.length > 0 &&
    new Set(approval.by).size === approval.by.length &&
    /^[0-9a-f]{64}$/.test(approval.intentSha256)
  if (valid) return
  throw new TokenError('ARGUMENT_INVALID', 'destroying a key needs an approval', {
    where: 'approval',
    expected: 'distinct people, and the SHA-256 of the intent they signed',
  })
}

function stillThere(where: string, got: string): TokenError {
  return new TokenError('KEY_EXISTS', 'the key is still there after C_DestroyObject', {
    where,
    expected: 'no object by id, no object by label and id, a dead handle',
    got,
    hint: 'do not report this key as destroyed',
  })
}

/** C_DestroyObject of the key, and of the public half of a pair. Returns the dead handles. */
export function destroyObjects(place: Place, name: KeyName, handle: ObjectHandle): ObjectHandle[] {
  const { cryptoki, session } = place
  const publicHalf: KeyName = { ...name, class: 'public-key' }
  const halves = name.class === 'private-key' ? findNamed(place, publicHalf) : []
  const doomed = [handle, ...halves]
  for (const object of doomed) place.change(() => cryptoki.destroyObject(session, object))
  return doomed
}

/** Whether a handle still answers; a refusal is what is hoped for. */
function answers({ cryptoki, session }: Place, handle: ObjectHandle): boolean {
  try {
    return cryptoki.getAttributes(session, handle, ['CLASS']).value('CLASS') !== undefined
  } catch (error) {
    if (error instanceof Pkcs11Error && !(isRecoverable(error) && error.retry !== 'session')) {
      return false
    }
    throw error
  }
}

/** Looks for the key again in a session that has never seen it. @throws TokenError KEY_EXISTS. */
export async function proveGone(
  connection: Connection,
  name: KeyName,
  dead: readonly ObjectHandle[],
): Promise<void> {
  const where = `${name.class} object=${name.label};id=${toHex(name.id)}`
  const classes =
    name.class === 'private-key' ? ([name.class, 'public-key'] as const) : [name.class]
  await connection.run(
    (place) => {
      const { cryptoki, session } = place
      assertLogin(place)
      for (const CLASS of classes.map((keyClass) => OBJECT_CLASS[keyClass])) {
        if (
          name.id.length > 0 &&
          cryptoki.findObjects(session, { CLASS, ID: name.id }).length > 0
        ) {
          throw stillThere(where, 'found by id')
        }
        const named = { CLASS, LABEL: name.label, ID: name.id }
        if (cryptoki.findObjects(session, named).length > 0) {
          throw stillThere(where, 'found by label and id')
        }
      }
      if (dead.some((handle) => answers(place, handle))) {
        throw stillThere(where, 'the old handle still answers')
      }
    },
    { on: 'fresh' },
  )
}

/** After a lock: the birth form is dead and no extractable object bears its id. @throws TokenError KEY_EXISTS. */
export function assertBirthGone(place: Place, name: KeyName, birth: ObjectHandle): void {
  const { cryptoki, session } = place
  const where = `${name.class} object=${name.label};id=${toHex(name.id)}`
  const extractable = { CLASS: OBJECT_CLASS[name.class], ID: name.id, EXTRACTABLE: true }
  if (cryptoki.findObjects(session, extractable).length > 0) {
    throw stillThere(where, 'an extractable object with the id of the birth form')
  }
  if (answers(place, birth)) throw stillThere(where, 'the handle of the birth form still answers')
}
