import { describe, expect, it } from 'vitest'

import { CKM } from '../../src/pkcs11/constants-ckm.ts'
import type { EnforcementRow, KnownAnswer, Severity, WrapProbe } from '../../src/pkcs11/index.ts'
import { chooseProfile } from '../../src/pkcs11/profile.ts'
import type { ProfileInputs } from '../../src/pkcs11/profile.ts'
import { multiPartPolicy, vendorHints } from '../../src/pkcs11/profile-vendors.ts'

const known = (id: string, result: KnownAnswer['result'], detail = ''): KnownAnswer => ({
  id,
  mechanism: 'CKM_X',
  source: 'a test',
  result,
  detail,
})

const row = (
  id: string,
  attribute: string,
  verdict: EnforcementRow['verdict'],
  severity: Severity = 'critical',
): EnforcementRow => ({
  id,
  attribute,
  attack: `attack ${id}`,
  expected: 'CKR_X',
  observed: 'allowed',
  verdict,
  severity,
  consequence: `consequence of ${id}`,
})

const wrap = (mechanism: string, bytes32: string, bytes20: string, listed = true): WrapProbe => ({
  type: 1,
  mechanism,
  listed,
  bytes32,
  bytes20,
})

const DECISIVE = [
  row('read-sensitive', 'SENSITIVE', 'enforced'),
  row('set-sensitive-off', 'SENSITIVE', 'enforced'),
  row('set-extractable-on', 'EXTRACTABLE', 'enforced'),
  row('wrap-unextractable', 'EXTRACTABLE', 'enforced'),
]

const GOOD: ProfileInputs = {
  knownAnswers: [
    'aes-ecb',
    'aes-cbc-zero-iv',
    'aes-gcm',
    'aes-gcm-wrong-tag',
    'aes-cmac',
    'ed25519',
  ].map((id) => known(id, 'match')),
  wraps: [wrap('CKM_KWP', 'RFC 5649', 'RFC 5649')],
  enforcement: DECISIVE,
  mechanisms: [CKM.AES_ECB, CKM.AES_CBC, CKM.AES_GCM, CKM.AES_CMAC],
  names: ['Some Vendor'],
}

describe('chooseProfile', () => {
  it('takes what was seen to work', () => {
    const profile = chooseProfile(GOOD)
    expect(profile.wrap).toEqual({
      mechanism: 'CKM_KWP',
      basis: 'probed',
      note: 'RFC 5649 for every length',
    })
    expect(profile.blockCipher.mechanism).toBe('CKM_AES_ECB')
    expect(profile.seal.mechanism).toBe('CKM_AES_GCM')
    expect(profile.signature).toMatchObject({ mechanism: 'CKM_EDDSA', algorithm: 'ed25519' })
    expect(profile.protectsKeys).toBe(true)
    expect(profile.warnings).toEqual([])
    expect(profile.roles.every(({ usable }) => usable)).toBe(true)
    expect(profile.vendor).toBeNull()
  })

  it('falls back to CBC with a zero IV where ECB is missing (Fortanix)', () => {
    const knownAnswers = GOOD.knownAnswers.map((answer) =>
      answer.id === 'aes-ecb' ? known('aes-ecb', 'unavailable', 'C_EncryptInit CKR_X') : answer,
    )
    const { blockCipher } = chooseProfile({ ...GOOD, knownAnswers, mechanisms: [CKM.AES_CBC] })
    expect(blockCipher).toMatchObject({ mechanism: 'CKM_AES_CBC', basis: 'probed' })
  })

  describe('rounds', () => {
    const multiPart = known('aes-ecb-multipart', 'match')
    const rounds = (change: Partial<ProfileInputs>) => chooseProfile({ ...GOOD, ...change }).rounds
    const softHsm = ['SoftHSM project']

    it('go in one operation where the trial succeeded and the vendor is known to support it', () => {
      const knownAnswers = [...GOOD.knownAnswers, multiPart]
      expect(rounds({ knownAnswers, names: softHsm })).toEqual({
        operation: 'multi-part',
        why: expect.stringContaining('the trial succeeded'),
      })
    })

    it.each([
      ['Some Vendor', 'nothing is known'],
      ['SafeNet, Inc.', 'not load-balanced'],
      ['Marvell Semiconductors, Inc.', 'single-part operations only'],
    ])('go one by one on %s: %s', (name, why) => {
      const knownAnswers = [...GOOD.knownAnswers, multiPart]
      expect(rounds({ knownAnswers, names: [name] })).toEqual({
        operation: 'single-part',
        why: expect.stringContaining(why),
      })
    })

    it('go one by one where the trial failed, or there is no ECB', () => {
      const failed = known('aes-ecb-multipart', 'unavailable', 'C_EncryptUpdate CKR_X')
      const knownAnswers = [...GOOD.knownAnswers, failed]
      expect(rounds({ knownAnswers, names: softHsm })).toEqual({
        operation: 'single-part',
        why: 'the trial of multi-part failed: C_EncryptUpdate CKR_X',
      })
      const noEcb = [multiPart, known('aes-cbc-zero-iv', 'match')]
      expect(rounds({ knownAnswers: noEcb, names: softHsm })).toEqual({
        operation: 'single-part',
        why: 'one block in each call',
      })
      expect(rounds({ knownAnswers: [multiPart] }).operation).toBeNull()
    })

    it('a vendor that forbids outweighs one that allows', () => {
      expect(multiPartPolicy(['SoftHSM']).allowed).toBe(true)
      expect(multiPartPolicy(['SoftHSM', 'Luna K7']).allowed).toBe(false)
    })
  })

  it('says so when nothing could be compared because the token takes no keys', () => {
    const knownAnswers = GOOD.knownAnswers.map(({ id }) =>
      known(id, 'unavailable', 'C_CreateObject CKR_TEMPLATE_INCONSISTENT'),
    )
    const { blockCipher } = chooseProfile({ ...GOOD, knownAnswers, wraps: [] })
    expect(blockCipher).toMatchObject({ mechanism: 'CKM_AES_ECB', basis: 'listed' })
    expect(blockCipher.note).toContain('not compared')
  })

  it('never wraps by a number that is not RFC 5649, nor by one that is not listed', () => {
    const profile = chooseProfile({
      ...GOOD,
      wraps: [
        wrap('CKM_A', 'RFC 3394 after PKCS#7 padding', 'RFC 3394 after PKCS#7 padding'),
        wrap('CKM_B', 'RFC 5649', 'RFC 5649', false),
        wrap('CKM_C', 'CKR_MECHANISM_INVALID', 'RFC 5649'),
      ],
    })
    expect(profile.wrap.mechanism).toBeNull()
    expect(profile.roles.find(({ role }) => role === 'kek')).toMatchObject({ usable: false })
  })

  it('prefers a number that is right for every length', () => {
    const partly = wrap('CKM_A', 'RFC 5649', 'RFC 5649 of the zero-padded secret')
    const wholly = wrap('CKM_B', 'RFC 5649', 'RFC 5649')
    expect(chooseProfile({ ...GOOD, wraps: [partly, wholly] }).wrap.mechanism).toBe('CKM_B')
    expect(chooseProfile({ ...GOOD, wraps: [partly] }).wrap.note).toContain('multiples of 8')
  })

  it('does not seal with a GCM that accepts forged tags', () => {
    const knownAnswers = GOOD.knownAnswers.map((answer) =>
      answer.id === 'aes-gcm-wrong-tag' ? known(answer.id, 'mismatch', 'accepted') : answer,
    )
    const profile = chooseProfile({ ...GOOD, knownAnswers })
    expect(profile.seal.mechanism).toBeNull()
    expect(profile.protectsKeys).toBe(false)
    expect(profile.warnings[0]).toMatchObject({ severity: 'critical', id: 'aes-gcm-wrong-tag' })
  })

  it.each(DECISIVE.map(({ id }) => id))(
    'is not sure of a token on which %s was not decided',
    (id) => {
      for (const verdict of ['not applicable', 'not probed'] as const) {
        const enforcement = DECISIVE.map((was) => (was.id === id ? { ...was, verdict } : was))
        const profile = chooseProfile({ ...GOOD, enforcement })
        expect(profile.protectsKeys).toBe(false)
        expect(profile.warnings.map((warning) => warning.id)).toEqual([id])
      }
    },
  )

  it('puts the worst first and waives what does not hold', () => {
    const enforcement = [
      ...DECISIVE,
      row('n', '-', 'not enforced', 'note'),
      row('w', 'COPYABLE', 'not enforced', 'warning'),
      row('a', 'ALLOWED_MECHANISMS', 'not applicable'),
      row('b', 'ALLOWED_MECHANISMS', 'not applicable'),
      row('c', 'MODIFIABLE', 'enforced'),
      row('z', 'UNWRAP_TEMPLATE', 'not enforced'),
    ]
    const profile = chooseProfile({ ...GOOD, enforcement })
    expect(profile.warnings.map(({ id }) => id)).toEqual(['z', 'w', 'n'])
    expect(profile.protectsKeys).toBe(false)
    expect(profile.waivers).toEqual([
      { attribute: 'COPYABLE', reason: 'accepted, not enforced' },
      { attribute: 'ALLOWED_MECHANISMS', reason: 'not accepted' },
      { attribute: 'UNWRAP_TEMPLATE', reason: 'accepted, not enforced' },
    ])
  })
})

describe('vendorHints', () => {
  it.each([
    ['SoftHSM', 'SoftHSM'],
    ['Mozilla Foundation', 'NSS softoken'],
    ['SafeNet, Inc.', 'Thales Luna'],
    ['nCipher Corp. Ltd', 'Entrust nShield'],
    ['Utimaco IS GmbH', 'Utimaco'],
    ['Yubico (www.yubico.com)', 'YubiHSM 2'],
    ['AWS CloudHSM', 'AWS CloudHSM'],
    ['Fortanix', 'Fortanix DSM'],
    ['Securosys SA', 'Securosys Primus'],
    ['IBM', 'IBM (openCryptoki)'],
  ])('knows %s as %s', (manufacturer, vendor) => {
    expect(vendorHints('Some library', manufacturer)?.vendor).toBe(vendor)
  })

  it('knows nothing of strangers, and marks what is hearsay', () => {
    expect(vendorHints('Acme', 'Transmission Ltd')).toBeNull()
    const yubi = vendorHints('YubiHSM')?.hints.filter(({ basis }) => basis === 'unverified')
    expect(yubi?.length).toBeGreaterThan(0)
  })
})
