/** Key generation in the token (PKCS#11 v3.2 §5.18.1, §5.18.2), by role. */
import { toHex } from '../bytes.ts'
import { TokenError } from '../errors.ts'
import { blockMechanismType } from './block-mechanism.ts'
import { CKO } from './constants.ts'
import { CKM } from './constants-ckm.ts'
import type { Place } from './connection.ts'
import { create, mayBeTemplate, verifyOrDestroy } from './create.ts'
import type { Created, Unsupported } from './create.ts'
import type { KeyPairHandles, ObjectHandle } from './cryptoki.ts'
import { OBJECT_CLASS } from './key.ts'
import type { KwpCapability } from './kwp.ts'
import { mechanism } from './mechanism.ts'
import { readBack } from './read-back.ts'
import { isReturnValue } from './return-value.ts'
import { bestScheme, readSpki } from './signature.ts'
import type { SignatureScheme } from './signature.ts'
import {
  AES_KEY_BYTES,
  pairTemplates,
  ROLE_KIND,
  secretIdentity,
  secretTemplate,
  toTemplate,
} from './template.ts'
import type { SecretKeyRole, TemplateAttribute, TemplateInputs } from './template.ts'
import type { Key, KeyRole, KeySpec } from './types.ts'

const MAX_ID_BYTES = 255
const MAX_LABEL_BYTES = 255

type PairRole = Parameters<typeof pairTemplates>[0]

/** Whether a role's key is an AES key. */
export const isSecretRole = (role: KeyRole): role is SecretKeyRole => ROLE_KIND[role] === 'aes-256'

/** @throws TokenError ARGUMENT_INVALID. */
export function checkSpec(spec: KeySpec): void {
  const refuse = (where: string, expected: string) => {
    throw new TokenError('ARGUMENT_INVALID', 'invalid key specification', { where, expected })
  }
  if (!Object.hasOwn(ROLE_KIND, spec.role)) refuse('role', Object.keys(ROLE_KIND).join(', '))
  if (spec.id.length < 1 || spec.id.length > MAX_ID_BYTES) refuse('id', '1 to 255 bytes')
  const label = Buffer.byteLength(spec.label, 'utf8')
  if (label < 1 || label > MAX_LABEL_BYTES) refuse('label', '1 to 255 bytes of UTF-8')
  if (spec.form === 'birth' && !isSecretRole(spec.role)) {
    refuse('form', 'locked: key pairs are never distributed')
  }
}

/**
 * A name that is taken would make two keys one URI cannot tell apart.
 * `except`: a key that is about to go. @throws TokenError KEY_EXISTS.
 */
export function assertFree(
  { cryptoki, session }: Place,
  spec: KeySpec,
  keyClass: Key['class'],
  except?: ObjectHandle,
): void {
  if (spec.onToken === false) return
  const common = { CLASS: OBJECT_CLASS[keyClass], TOKEN: true }
  for (const [what, template] of [
    [`id=${toHex(spec.id)}`, { ...common, ID: spec.id }],
    [`object=${spec.label}`, { ...common, LABEL: spec.label }],
  ] as const) {
    const taken = cryptoki.findObjects(session, template, 2)
    if (taken.every((object) => object === except)) continue
    throw new TokenError('KEY_EXISTS', 'a key with this name is on the token already', {
      where: `${keyClass} ${what}`,
      expected: 'no such object',
      hint: 'destroy the old key in a ceremony, or choose another label and id',
    })
  }
}

/** What the templates need to know of a key. */
export const templateInputs = (spec: KeySpec, more: Partial<TemplateInputs>): TemplateInputs => ({
  form: spec.form ?? 'locked',
  onToken: spec.onToken !== false,
  ...more,
})

/** The full attribute list of an AES key. @throws TokenError MECHANISM_UNAVAILABLE (kek without KWP). */
export const secretAttributes = (
  place: Place,
  spec: KeySpec & { readonly role: SecretKeyRole },
  kwp: KwpCapability | undefined,
): readonly TemplateAttribute[] =>
  secretTemplate(
    spec.role,
    templateInputs(spec, {
      ...(kwp === undefined ? {} : { kwpMechanism: kwp.mechanism }),
      ...(spec.role === 'fpe' ? { blockMechanism: blockMechanismType(place) } : {}),
    }),
  )

/** `generate token`: token and session objects differ in what modules store for them. */
export const wayOf = (call: string, spec: KeySpec): string =>
  `${call} ${spec.role} ${spec.onToken === false ? 'session' : 'token'}`

/** C_GenerateKey of an AES-256 key. */
export function generateSecret(
  place: Place,
  unsupported: Unsupported,
  spec: KeySpec & { readonly role: SecretKeyRole },
  kwp: KwpCapability | undefined,
): Created {
  assertFree(place, spec, 'secret-key')
  const { cryptoki, session } = place
  return create(place, unsupported, {
    way: wayOf('generate', spec),
    spec,
    identity: { ...secretIdentity(spec), VALUE_LEN: AES_KEY_BYTES },
    attributes: secretAttributes(place, spec, kwp),
    make: (template) => [cryptoki.generateKey(session, mechanism(CKM.AES_KEY_GEN), template)],
  })
}

/** Tries the spellings of a curve that tokens know. */
function onCurve(scheme: SignatureScheme, make: (curve: Uint8Array) => KeyPairHandles) {
  let last: unknown
  for (const curve of scheme.curve) {
    try {
      return make(curve)
    } catch (error) {
      const spelling = isReturnValue(
        error,
        'CURVE_NOT_SUPPORTED',
        'DOMAIN_PARAMS_INVALID',
        'MECHANISM_PARAM_INVALID',
      )
      if (!spelling && !mayBeTemplate(error)) throw error
      last = error
    }
  }
  throw last
}

/** C_GenerateKeyPair of a signature key, Ed25519 where the token has it. */
export function generatePair(
  place: Place,
  unsupported: Unsupported,
  spec: KeySpec & { readonly role: PairRole },
): Created {
  const { cryptoki, session } = place
  assertFree(place, spec, 'private-key')
  assertFree(place, spec, 'public-key')
  const scheme = bestScheme(cryptoki.mechanismList(place.slotId))
  const templates = pairTemplates(spec.role, templateInputs(spec, { signature: scheme.algorithm }))
  const names = { LABEL: spec.label, ID: spec.id }
  const common = { KEY_TYPE: scheme.keyType }
  const publicIdentity = { CLASS: CKO.PUBLIC_KEY, ...common }
  const created = create(place, unsupported, {
    way: wayOf('generate', spec),
    spec,
    identity: { CLASS: CKO.PRIVATE_KEY, ...common, ...names },
    attributes: templates.privateKey,
    make: (template) => {
      const pair = onCurve(scheme, (curve) =>
        cryptoki.generateKeyPair(
          session,
          mechanism(scheme.generate),
          {
            ...publicIdentity,
            EC_PARAMS: curve,
            LABEL: template.LABEL ?? spec.label,
            ID: template.ID ?? spec.id,
            ...toTemplate(templates.publicKey.filter(({ waivable }) => !waivable)),
          },
          template,
        ),
      )
      return [pair.privateKey, pair.publicKey]
    },
  })
  const [publicKey] = created.others
  if (publicKey === undefined) return created
  const waivers = verifyOrDestroy(place, [created.handle, publicKey], () => {
    const found = readBack(
      place,
      publicKey,
      templates.publicKey,
      { ...publicIdentity, ...names },
      `public key ${spec.label}`,
    )
    // A public key that cannot be read, or is not on its curve, is of no use to a verifier.
    readSpki(place, publicKey)
    return found
  })
  return { ...created, waivers: [...created.waivers, ...waivers] }
}
