/**
 * How a key leaves and enters a token: wrap, unwrap (PKCS#11 v3.2 §5.18.3, §5.18.4), and the lock that
 * ends the time in which it may leave.
 */
import { TokenError } from '../errors.ts'
import type { Template } from './attribute.ts'
import type { Place } from './connection.ts'
import { create, mayBeTemplate } from './create.ts'
import type { Created, Unsupported } from './create.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { assertFree, isSecretRole, secretAttributes, wayOf } from './generate.ts'
import { wrapAesKey, wrappedLength } from './kwp.ts'
import type { KwpCapability } from './kwp.ts'
import { mechanism } from './mechanism.ts'
import { AES_KEY_BYTES, secretIdentity } from './template.ts'
import type { SecretKeyRole } from './template.ts'
import type { KeySpec } from './types.ts'

function secretSpec(spec: KeySpec): KeySpec & { readonly role: SecretKeyRole } {
  const { role } = spec
  if (isSecretRole(role)) return { ...spec, role }
  throw new TokenError('ARGUMENT_INVALID', 'only AES keys are wrapped, unwrapped and locked', {
    where: 'role',
    expected: 'fpe, kek, kek-outer or embedding-seed',
    got: role,
  })
}

/**
 * C_WrapKey by RFC 5649. Only AES-256 keys: their length is right on every module that passed the probe.
 * @throws TokenError MECHANISM_UNAVAILABLE for other keys; Pkcs11Error CKR_KEY_UNEXTRACTABLE for locked ones.
 */
export function wrapKwp(
  place: Place,
  kwp: KwpCapability,
  kek: ObjectHandle,
  key: ObjectHandle,
  keyType: string,
): Uint8Array {
  if (keyType !== 'AES') {
    throw new TokenError('MECHANISM_UNAVAILABLE', 'only AES-256 keys are wrapped', {
      where: `${kwp.name} (probed: exact for ${kwp.exactFor === 'any' ? 'any length' : 'multiples of 8 bytes'})`,
      expected: 'an AES-256 key',
      got: keyType,
    })
  }
  return wrapAesKey(place, kwp, kek, key, AES_KEY_BYTES)
}

/** C_UnwrapKey with the whole template restated, then read back. */
export function unwrapKwp(
  place: Place,
  unsupported: Unsupported,
  kwp: KwpCapability,
  kek: ObjectHandle,
  wrapped: Uint8Array,
  anySpec: KeySpec,
): Created {
  const spec = secretSpec(anySpec)
  if (wrapped.length !== wrappedLength(AES_KEY_BYTES)) {
    throw new TokenError('ARGUMENT_INVALID', 'not a wrapped AES-256 key', {
      where: 'unwrapKwp',
      expected: `${wrappedLength(AES_KEY_BYTES)} bytes (RFC 5649 §4.1)`,
      got: `${wrapped.length} bytes`,
    })
  }
  assertFree(place, spec, 'secret-key')
  const { cryptoki, session } = place
  // No VALUE_LEN: SoftHSM calls it read-only here, and reports 0 afterwards.
  return create(place, unsupported, {
    way: wayOf('unwrap', spec),
    spec,
    identity: secretIdentity(spec),
    attributes: secretAttributes(place, spec, kwp),
    make: (template) => [
      cryptoki.unwrapKey(session, mechanism(kwp.mechanism), kek, wrapped, template),
    ],
  })
}

/**
 * What C_CopyObject is given: the attributes that change. The others are inherited, and naming them is
 * refused (SoftHSM 2.6: CKR_ATTRIBUTE_READ_ONLY even for equal values). Measured on SoftHSM 2.6.1: a copy
 * may clear EXTRACTABLE and MODIFIABLE and rename; it may not set COPYABLE, SENSITIVE, WRAP_WITH_TRUSTED
 * or ALLOWED_MECHANISMS. A copy of an unmodifiable key is unmodifiable and equal, so COPYABLE=true then
 * lets nobody weaken anything.
 */
function copyTemplate(template: Template, onToken: boolean): Template {
  const { LABEL, ID, EXTRACTABLE, COPYABLE, MODIFIABLE } = template
  return {
    ...(LABEL === undefined ? {} : { LABEL }),
    ...(ID === undefined ? {} : { ID }),
    ...(onToken ? {} : { TOKEN: true }),
    ...(EXTRACTABLE === undefined ? {} : { EXTRACTABLE }),
    ...(COPYABLE === undefined ? {} : { COPYABLE }),
    ...(MODIFIABLE === undefined ? {} : { MODIFIABLE }),
  }
}

/**
 * Copies `birth` into the locked form. The caller compares check values before it destroys `birth`.
 * @throws TokenError TEMPLATE_NOT_HONOURED when the copy is not locked; Pkcs11Error of C_CopyObject.
 */
export function lockedCopy(
  place: Place,
  unsupported: Unsupported,
  kwp: KwpCapability | undefined,
  birth: ObjectHandle,
  anySpec: KeySpec,
): Created {
  const spec = secretSpec({ ...anySpec, form: 'locked' })
  if (spec.onToken === false) {
    throw new TokenError('ARGUMENT_INVALID', 'a locked key is a token object', {
      where: 'lock',
      expected: 'onToken: true',
    })
  }
  assertFree(place, spec, 'secret-key', birth)
  const { cryptoki, session } = place
  const born = cryptoki.getAttributes(session, birth, ['EXTRACTABLE', 'TOKEN'])
  if (born.value('EXTRACTABLE') !== true) {
    throw new TokenError('ARGUMENT_INVALID', 'the key is not in its birth form', {
      where: 'lock',
      expected: 'CKA_EXTRACTABLE=true',
      got: `CKA_EXTRACTABLE=${born.value('EXTRACTABLE') === false ? 'false' : 'absent'}`,
    })
  }
  const copy = (template: Template) =>
    cryptoki.copyObject(session, birth, copyTemplate(template, born.value('TOKEN') === true))
  return create(place, unsupported, {
    way: wayOf('copy', spec),
    spec,
    identity: secretIdentity(spec),
    attributes: secretAttributes(place, spec, kwp),
    make: ({ COPYABLE, ...template }) => {
      try {
        return [copy({ ...template, ...(COPYABLE === undefined ? {} : { COPYABLE }) })]
      } catch (error) {
        if (!mayBeTemplate(error) || COPYABLE === undefined) throw error
        // The read-back records it.
        return [copy(template)]
      }
    },
  })
}
