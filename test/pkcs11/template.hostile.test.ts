/**
 * A script that holds the USER PIN and talks to the token with raw pkcs11js: what it can do to the keys
 * keyrite made. SoftHSM 2.6.1; every refusal is checked by its exact CKR number.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { toHex } from '../../src/bytes.ts'
import { loadModule } from '../../src/pkcs11/index.ts'
import type { KeyRole, ObjectRecord } from '../../src/pkcs11/index.ts'
import { newPin, softHsm } from '../tokens.ts'
import type { SoftHsm, TestToken } from '../tokens.ts'
import { attack, CKA, raw } from './raw.ts'
import type { RawCall, RawTemplate } from './raw-attacker.ts'

const CKR = {
  OK: 0,
  ATTRIBUTE_READ_ONLY: 0x10,
  ATTRIBUTE_SENSITIVE: 0x11,
  ACTION_PROHIBITED: 0x1b,
  KEY_FUNCTION_NOT_PERMITTED: 0x68,
  KEY_UNEXTRACTABLE: 0x6a,
  MECHANISM_INVALID: 0x70,
  TEMPLATE_INCONSISTENT: 0xd1,
  UNWRAPPING_KEY_TYPE_INCONSISTENT: 0xf2,
  WRAPPING_KEY_TYPE_INCONSISTENT: 0x115,
} as const
const CKM = { ECB: 0x1081, CBC: 0x1082, GCM: 0x1087, KW: 0x2109, KWP: 0x210a, DERIVE: 0x1105 }

const CLASS = { secret: 4, private: 3 } as const
/** Keys as the attacker finds them. */
const KEYS = {
  fpe: { role: 'fpe', on: raw({ CLASS: CLASS.secret, LABEL: 'fpe' }) },
  'fpe locked after distribution': {
    role: 'fpe',
    on: raw({ CLASS: CLASS.secret, LABEL: 'fpe-distributed' }),
  },
  'fpe unwrapped': { role: 'fpe', on: raw({ CLASS: CLASS.secret, LABEL: 'fpe-unwrapped' }) },
  kek: { role: 'kek', on: raw({ CLASS: CLASS.secret, LABEL: 'kek' }) },
  'kek-outer': { role: 'kek-outer', on: raw({ CLASS: CLASS.secret, LABEL: 'kek-outer' }) },
  'embedding-seed': {
    role: 'embedding-seed',
    on: raw({ CLASS: CLASS.secret, LABEL: 'embedding-seed' }),
  },
  'log-signer': { role: 'log-signer', on: raw({ CLASS: CLASS.private, LABEL: 'log-signer' }) },
} as const satisfies Record<string, { role: KeyRole; on: RawTemplate }>

let hsm: SoftHsm
let vault: TestToken
let blob = ''
let before: ObjectRecord[] = []

const id = () => newPin().slice(0, 16)

async function inventory(): Promise<ObjectRecord[]> {
  await using module = await loadModule(hsm.module)
  await using token = await module.login(vault.uri, { pin: vault.userPin() })
  return await token.inventory()
}

beforeAll(async () => {
  hsm = softHsm()
  vault = hsm.tokens('vault').vault
  await using module = await loadModule(hsm.module)
  await using token = await module.login(vault.uri, { pin: vault.userPin() })
  for (const role of ['fpe', 'kek', 'kek-outer', 'embedding-seed', 'log-signer'] as const) {
    await token.generate({ role, label: role, id: id() })
  }
  const kek = await token.key('pkcs11:object=kek')
  const spec = { role: 'fpe', label: 'fpe-distributed', id: id() } as const
  const birth = await token.generate({ ...spec, form: 'birth' })
  const wrapped = await token.wrapKwp(kek, birth)
  blob = toHex(wrapped)
  await token.lock(birth, spec)
  await token.unwrapKwp(kek, wrapped, { role: 'fpe', label: 'fpe-unwrapped', id: id() })
  before = await token.inventory()
})
afterAll(() => hsm.cleanup())

/** Every weakening of an attribute an attacker could want. */
const WEAKER: readonly RawTemplate[] = [
  raw({ SENSITIVE: false }),
  raw({ EXTRACTABLE: true }),
  raw({ PRIVATE: false }),
  raw({ MODIFIABLE: true }),
  raw({ MODIFIABLE: true, EXTRACTABLE: true, SENSITIVE: false }),
  raw({ COPYABLE: true }),
  raw({ ALLOWED_MECHANISMS: { ulongs: [CKM.ECB, CKM.CBC, CKM.GCM, CKM.KWP] } }),
  raw({ ALLOWED_MECHANISMS: { ulongs: [] } }),
  raw({ UNWRAP_TEMPLATE: { hex: '' } }),
  raw({ TRUSTED: true }),
  ...(['ENCRYPT', 'DECRYPT', 'WRAP', 'UNWRAP', 'SIGN', 'VERIFY', 'DERIVE'] as const).map((flag) =>
    raw({ [flag]: true }),
  ),
]
const AES = { CLASS: CLASS.secret, KEY_TYPE: 0x1f, TOKEN: false } as const
const PROTECTED = {
  PRIVATE: true,
  SENSITIVE: true,
  EXTRACTABLE: false,
  COPYABLE: false,
  MODIFIABLE: false,
} as const

describe.each(Object.entries(KEYS))('%s', (name, { on }) => {
  // C_CopyObject cannot clear COPYABLE on SoftHSM: there the copy itself refuses every change.
  const copyable = name === 'fpe locked after distribution'

  test('no attribute can be set', () => {
    const answers = attack(
      vault,
      WEAKER.map((template) => ({ do: 'set', on, template })),
    )
    expect(answers).toEqual(WEAKER.map(() => CKR.ACTION_PROHIBITED))
  })

  test('no weaker copy can be made', () => {
    const templates = [...WEAKER, raw({ TOKEN: false }), raw({ LABEL: 'mine' })]
    const answers = attack(
      vault,
      templates.map((template) => ({ do: 'copy', on, template })),
    )
    const expected = templates.map((template) => {
      if (!copyable) return CKR.ACTION_PROHIBITED
      return template[0]?.[0] === CKA.PRIVATE ? CKR.TEMPLATE_INCONSISTENT : CKR.ATTRIBUTE_READ_ONLY
    })
    expect(answers).toEqual(expected)
  })

  test('it cannot be read or wrapped out', () => {
    expect(
      attack(vault, [
        { do: 'read', on, attribute: CKA.VALUE },
        { do: 'wrap', on, mechanism: CKM.KWP },
        { do: 'wrap', on, mechanism: CKM.KW },
      ]),
    ).toEqual([CKR.ATTRIBUTE_SENSITIVE, CKR.KEY_UNEXTRACTABLE, CKR.KEY_UNEXTRACTABLE])
  })
})

describe('use', () => {
  const calls = (on: RawTemplate): RawCall[] => [
    { do: 'encrypt', on, mechanism: CKM.ECB },
    { do: 'decrypt', on, mechanism: CKM.ECB },
    { do: 'encrypt', on, mechanism: CKM.CBC },
    { do: 'decrypt', on, mechanism: CKM.CBC },
    { do: 'derive', on, mechanism: CKM.DERIVE },
    { do: 'wrap-by', on, mechanism: CKM.KWP },
    { do: 'wrap-by', on, mechanism: CKM.KW },
    { do: 'unwrap', on, mechanism: CKM.KWP, blob, template: raw({ ...AES, ...PROTECTED }) },
    { do: 'unwrap', on, mechanism: CKM.KW, blob, template: raw({ ...AES, ...PROTECTED }) },
  ]
  const NO = CKR.KEY_FUNCTION_NOT_PERMITTED
  const BAD = CKR.MECHANISM_INVALID
  const fpe = [CKR.OK, NO, BAD, NO, NO, NO, NO, NO, NO]
  test.each([
    ['fpe', fpe],
    ['fpe locked after distribution', fpe],
    ['fpe unwrapped', fpe],
    ['kek', [NO, NO, NO, NO, NO, CKR.OK, BAD, CKR.OK, BAD]],
    ['kek-outer', [BAD, BAD, BAD, BAD, NO, NO, NO, NO, NO]],
    ['embedding-seed', [NO, NO, NO, NO, NO, NO, NO, NO, NO]],
    [
      'log-signer',
      [
        ...[NO, NO, NO, NO, NO],
        ...[CKR.WRAPPING_KEY_TYPE_INCONSISTENT, CKR.WRAPPING_KEY_TYPE_INCONSISTENT],
        ...[CKR.UNWRAPPING_KEY_TYPE_INCONSISTENT, CKR.UNWRAPPING_KEY_TYPE_INCONSISTENT],
      ],
    ],
  ] as const)('%s does what its role says and nothing else', (name, expected) => {
    expect(attack(vault, calls(KEYS[name].on))).toEqual(expected)
  })
})

describe('a blob under the kek', () => {
  const on = KEYS.kek.on
  const unwrap = (template: RawTemplate): RawCall => ({
    do: 'unwrap',
    on,
    mechanism: CKM.KWP,
    blob,
    template,
  })

  test.each([
    ['SENSITIVE', { SENSITIVE: false }],
    ['EXTRACTABLE', { EXTRACTABLE: true }],
    ['PRIVATE', { PRIVATE: false }],
    ['COPYABLE', { COPYABLE: true }],
    ['MODIFIABLE', { MODIFIABLE: true }],
  ] as const)('does not unwrap with a weaker %s, nor without it', (name, weaker) => {
    const without = Object.fromEntries(
      Object.entries(PROTECTED).filter(([attribute]) => attribute !== name),
    )
    expect(
      attack(vault, [
        unwrap(raw({ ...AES, ...without, ...weaker })),
        unwrap(raw({ ...AES, ...without })),
        unwrap(raw(AES)),
      ]),
    ).toEqual([
      CKR.TEMPLATE_INCONSISTENT,
      // PRIVATE is true by default, so leaving it out is not weaker.
      name === 'PRIVATE' ? CKR.OK : CKR.TEMPLATE_INCONSISTENT,
      CKR.TEMPLATE_INCONSISTENT,
    ])
  })

  test('unwraps protected only; usage is not in the UNWRAP_TEMPLATE, so it is the limit of it', () => {
    const wide = { ...AES, TOKEN: true, LABEL: 'wide', DECRYPT: true, WRAP: true, ...PROTECTED }
    const mine = raw({ LABEL: 'wide' })
    const answers = attack(vault, [
      unwrap(raw(wide)),
      { do: 'read', on: mine, attribute: CKA.VALUE },
      { do: 'wrap', on: mine, mechanism: CKM.KWP },
      { do: 'set', on: mine, template: raw({ EXTRACTABLE: true }) },
      { do: 'copy', on: mine, template: [] },
      { do: 'destroy', on: mine },
    ])
    expect(answers).toEqual([
      CKR.OK,
      CKR.ATTRIBUTE_SENSITIVE,
      CKR.KEY_UNEXTRACTABLE,
      CKR.ACTION_PROHIBITED,
      CKR.ACTION_PROHIBITED,
      CKR.OK,
    ])
  })
})

test('none of it changed anything on the token', async () => {
  expect(await inventory()).toEqual(before)
})

test('the one copy that is possible is the same unmodifiable key, and is noticed', async () => {
  const { on } = KEYS['fpe locked after distribution']
  expect(attack(vault, [{ do: 'copy', on, template: [] }])).toEqual([CKR.OK])
  const same = before.find(({ label }) => label === 'fpe-distributed')
  expect((await inventory()).filter(({ label }) => label === 'fpe-distributed')).toEqual([
    same,
    same,
  ])
  await using module = await loadModule(hsm.module)
  await using token = await module.login(vault.uri, { pin: vault.userPin() })
  await expect(token.key('pkcs11:object=fpe-distributed')).rejects.toMatchObject({
    code: 'KEY_AMBIGUOUS',
  })
})
