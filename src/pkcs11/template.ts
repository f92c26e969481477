/**
 * The key templates: one table from role to attributes, each with its value and its reason.
 * Creation, read-back, lint, the printed script and the documentation all read this table.
 * Attribute names and meanings: PKCS#11 v3.2 §4.4 to §4.10.
 */
import { TokenError } from '../errors.ts'
import type { AttributeName, Template } from './attribute.ts'
import { CKK, CKO } from './constants.ts'
import { CKM, mechanismName } from './constants-ckm.ts'
import type { KeyForm, KeyRole, KeySpec } from './types.ts'

/** One attribute of a template. */
export interface TemplateAttribute {
  readonly name: AttributeName
  readonly value: boolean | readonly number[] | Template
  /** Why it has this value. */
  readonly reason: string
  /** The key may exist without it, if that is recorded (see `Waiver`); false: the key is destroyed. */
  readonly waivable: boolean
}

/** What a role's template depends on besides the role. */
export interface TemplateInputs {
  readonly form: KeyForm
  readonly onToken: boolean
  /** CKM_* number of AES-KWP on this token, found by known-answer probe; needed for `kek`. */
  readonly kwpMechanism?: number
  /** CKM_* number of single AES blocks on this token; for `fpe`. Default CKM_AES_ECB. */
  readonly blockMechanism?: number
  /** Signature scheme of this token; needed for key pairs. */
  readonly signature?: 'ed25519' | 'ecdsa-p256-sha256'
}

/** Attributes of the halves of a key pair. */
export interface PairTemplates {
  readonly privateKey: readonly TemplateAttribute[]
  readonly publicKey: readonly TemplateAttribute[]
}

/** What kind of key a role is. */
export const ROLE_KIND: Readonly<Record<KeyRole, 'aes-256' | 'signature-pair'>> = {
  fpe: 'aes-256',
  kek: 'aes-256',
  'kek-outer': 'aes-256',
  'embedding-seed': 'aes-256',
  'log-signer': 'signature-pair',
  approval: 'signature-pair',
}

/** Bytes of an AES-256 key. */
export const AES_KEY_BYTES = 32

const must = (name: AttributeName, value: boolean, reason: string): TemplateAttribute => ({
  name,
  value,
  reason,
  waivable: false,
})
const wish = (
  name: AttributeName,
  value: TemplateAttribute['value'],
  reason: string,
): TemplateAttribute => ({ name, value, reason, waivable: true })

/** Usage flags of secret keys; a role names the ones it needs and why. */
const SECRET_USAGE = ['ENCRYPT', 'DECRYPT', 'SIGN', 'VERIFY', 'WRAP', 'UNWRAP', 'DERIVE'] as const
type SecretUsage = (typeof SECRET_USAGE)[number]

interface SecretRole {
  readonly uses: Readonly<Partial<Record<SecretUsage, string>>>
  readonly mechanisms: (inputs: TemplateInputs) => readonly number[]
  readonly mechanismsReason: string
  readonly extra?: readonly TemplateAttribute[]
}

/**
 * What C_UnwrapKey must make of any blob under a `kek`. The caller restates every one of them:
 * SoftHSM refuses a template that leaves one out (CKR_TEMPLATE_INCONSISTENT).
 */
export const UNWRAP_TEMPLATE = {
  PRIVATE: true,
  SENSITIVE: true,
  EXTRACTABLE: false,
  COPYABLE: false,
  MODIFIABLE: false,
} as const satisfies Template

function needKwp({ kwpMechanism }: TemplateInputs): readonly number[] {
  if (kwpMechanism !== undefined) return [kwpMechanism]
  throw new TokenError('MECHANISM_UNAVAILABLE', 'no mechanism of this token wraps as RFC 5649', {
    where: 'role kek',
    hint: 'run keyrite doctor on the module',
  })
}

/** Roles of AES-256 keys. */
export type SecretKeyRole = 'fpe' | 'kek' | 'kek-outer' | 'embedding-seed'

const SECRET_ROLES: Readonly<Record<SecretKeyRole, SecretRole>> = {
  fpe: {
    uses: { ENCRYPT: 'FF1 and FF3-1 call the forward cipher only (SP 800-38G §4.3)' },
    // CKM_AES_CBC on a token without ECB: under a zero IV, one block of it is the same (SP 800-38A §6.2).
    mechanisms: ({ blockMechanism = CKM.AES_ECB }) => [blockMechanism],
    mechanismsReason: 'rounds need single blocks; any other mode would be a second use of the key',
  },
  kek: {
    uses: {
      WRAP: 'wraps the inner layer of the nested wrap',
      UNWRAP: 'unwraps the inner layer of the nested wrap',
    },
    mechanisms: needKwp,
    mechanismsReason: 'RFC 5649 only: with ECB or CBC allowed, the host could undo a wrap',
    extra: [
      wish(
        'UNWRAP_TEMPLATE',
        UNWRAP_TEMPLATE,
        'a lone PIN holder cannot unwrap a blob into a readable or changeable key',
      ),
    ],
  },
  'kek-outer': {
    uses: {
      ENCRYPT: 'seals the outer layer of the nested wrap',
      DECRYPT: 'opens the outer layer of the nested wrap',
    },
    mechanisms: () => [CKM.AES_GCM],
    mechanismsReason: 'authenticated encryption only (SP 800-38D)',
  },
  'embedding-seed': {
    uses: { SIGN: 'AES-CMAC is the PRF that gives the seed (SP 800-108 §4.1)' },
    mechanisms: () => [CKM.AES_CMAC],
    mechanismsReason: 'a PRF only: the key itself encrypts nothing',
  },
}

function protection({ form, onToken }: TemplateInputs, kind: 'secret' | 'private') {
  const born = form === 'birth'
  return [
    must(
      'TOKEN',
      onToken,
      onToken ? 'survives the session' : 'a session object: dies with the login',
    ),
    must('PRIVATE', true, 'invisible before login; SoftHSM stores public objects unencrypted'),
    must('SENSITIVE', true, 'the value cannot be read in plaintext'),
    born
      ? must('EXTRACTABLE', true, 'leaves once, wrapped, before it is locked')
      : must('EXTRACTABLE', false, `the ${kind} key never leaves the token`),
  ]
}

function lockdown({ form }: TemplateInputs): readonly TemplateAttribute[] {
  const born = form === 'birth'
  return [
    born
      ? wish('COPYABLE', true, 'is copied into its locked form')
      : wish('COPYABLE', false, 'no second object with other attributes'),
    wish('DESTROYABLE', true, 'zeroisation must be possible'),
    // Last on purpose: SoftHSM 2.6 refuses the attributes that follow MODIFIABLE=false when it unwraps or copies.
    born
      ? must('MODIFIABLE', true, 'the copy into the locked form tightens attributes')
      : must('MODIFIABLE', false, 'nobody, with or without the PIN, widens the attributes later'),
  ]
}

/**
 * Attributes of a secret key of `role`.
 * @throws TokenError MECHANISM_UNAVAILABLE for `kek` without a KWP mechanism.
 */
export function secretTemplate(
  role: SecretKeyRole,
  inputs: TemplateInputs,
): readonly TemplateAttribute[] {
  const { uses, mechanisms, mechanismsReason, extra = [] } = SECRET_ROLES[role]
  return [
    ...protection(inputs, 'secret'),
    ...SECRET_USAGE.map((usage) => {
      const reason = uses[usage]
      return reason === undefined
        ? must(usage, false, `not what a ${role} key is for`)
        : must(usage, true, reason)
    }),
    wish('ALLOWED_MECHANISMS', mechanisms(inputs), mechanismsReason),
    ...extra,
    ...lockdown(inputs),
  ]
}

const PAIR_PURPOSE: Readonly<Record<'log-signer' | 'approval', string>> = {
  'log-signer': 'signs checkpoints of the log',
  approval: 'signs approvals and checkpoints of its custodian',
}

/** Attributes of a signature key pair of `role`. */
export function pairTemplates(
  role: keyof typeof PAIR_PURPOSE,
  inputs: TemplateInputs,
): PairTemplates {
  const mechanism = inputs.signature === 'ecdsa-p256-sha256' ? CKM.ECDSA : CKM.EDDSA
  const not = `not what a ${role} key is for`
  return {
    privateKey: [
      ...protection(inputs, 'private'),
      must('SIGN', true, PAIR_PURPOSE[role]),
      must('DECRYPT', false, not),
      must('SIGN_RECOVER', false, not),
      must('UNWRAP', false, not),
      must('DERIVE', false, not),
      wish('ALLOWED_MECHANISMS', [mechanism], 'one signature scheme per key'),
      ...lockdown(inputs),
    ],
    publicKey: [
      must('TOKEN', inputs.onToken, 'lives as long as its private key'),
      must('PRIVATE', false, 'whoever verifies may read it without login'),
      must('VERIFY', true, 'verifies what the private key signed'),
      must('ENCRYPT', false, not),
      must('WRAP', false, not),
      must('VERIFY_RECOVER', false, not),
      must('DERIVE', false, not),
      wish('DESTROYABLE', true, 'goes when its private key goes'),
      must('MODIFIABLE', false, 'cannot be re-labelled to stand for another key'),
    ],
  }
}

/** A template for the module out of the table's attributes; MODIFIABLE stays last. */
export const toTemplate = (attributes: readonly TemplateAttribute[]): Template =>
  Object.fromEntries(attributes.map(({ name, value }) => [name, value])) as unknown as Template

/** Class, type, length and names of a new secret key. `VALUE_LEN` is for C_GenerateKey only. */
export const secretIdentity = (spec: Pick<KeySpec, 'label' | 'id'>) =>
  ({
    CLASS: CKO.SECRET_KEY,
    KEY_TYPE: CKK.AES,
    LABEL: spec.label,
    ID: spec.id,
  }) as const satisfies Template

/** One line of a printed template. */
export interface TemplateLine {
  /** With `CKA_`. */
  readonly attribute: string
  readonly value: string
  readonly reason: string
  readonly waivable: boolean
}

function valueText(value: TemplateAttribute['value']): string {
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (isMechanismList(value)) return value.map(mechanismName).join(' ')
  const inner = Object.entries(value).map(([name, is]) => `CKA_${name}=${JSON.stringify(is)}`)
  return `{ ${inner.join(', ')} }`
}

const isMechanismList = (value: TemplateAttribute['value']): value is readonly number[] =>
  Array.isArray(value)

/** The template as the printed script, the lint and the documentation show it. */
export const describeTemplate = (attributes: readonly TemplateAttribute[]): TemplateLine[] =>
  attributes.map(({ name, value, reason, waivable }) => ({
    attribute: `CKA_${name}`,
    value: valueText(value),
    reason,
    waivable,
  }))
