import { execFileSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { sha256, toHex } from '../../src/bytes.ts'
import { FormatError, Pkcs11Error, TokenError } from '../../src/errors.ts'
import { formatDoctorReport, runDoctor } from '../../src/pkcs11/index.ts'
import type { DoctorReport } from '../../src/pkcs11/index.ts'
import { eachModule, softHsm } from '../tokens.ts'
import type { ModuleName, ModuleUnderTest, SoftHsm } from '../tokens.ts'
import { ENFORCED } from './enforcement-expected.ts'

const parameters = ({ libraryParameters }: Pick<ModuleUnderTest, 'libraryParameters'>) =>
  libraryParameters === undefined ? {} : { libraryParameters }

/** What differs between the two, as a person reads it. */
const PROFILE: Readonly<Record<ModuleName, object>> = {
  SoftHSM2: {
    wrap: { mechanism: 'CKM_AES_KEY_WRAP_PAD', basis: 'probed' },
    blockCipher: { mechanism: 'CKM_AES_ECB', basis: 'probed' },
    rounds: { operation: 'multi-part' },
    seal: { mechanism: 'CKM_AES_GCM', basis: 'probed' },
    signature: { mechanism: 'CKM_EDDSA', algorithm: 'ed25519' },
    protectsKeys: true,
    waivers: [],
    vendor: { vendor: 'SoftHSM' },
  },
  NSS: {
    wrap: { mechanism: 'CKM_AES_KEY_WRAP_KWP', basis: 'probed' },
    blockCipher: { mechanism: 'CKM_AES_ECB', basis: 'probed' },
    rounds: { operation: 'multi-part' },
    seal: { mechanism: 'CKM_AES_GCM', basis: 'probed' },
    signature: { mechanism: 'CKM_ECDSA', algorithm: 'ecdsa-p256-sha256' },
    protectsKeys: false,
    waivers: ['COPYABLE', 'DESTROYABLE', 'ALLOWED_MECHANISMS', 'UNWRAP_TEMPLATE'].map(
      (attribute) => ({ attribute, reason: 'accepted, not enforced' }),
    ),
    vendor: { vendor: 'NSS softoken' },
  },
}

eachModule((name, start) => {
  let under: ModuleUnderTest
  let report: DoctorReport
  beforeAll(async () => {
    under = start()
    report = await runDoctor(under.module, {
      tokenUri: under.token.uri,
      pin: under.token.userPin(),
      ...parameters(under),
    })
  })
  afterAll(() => under.cleanup())

  it('identifies the module and its tokens', () => {
    const real = execFileSync('readlink', ['-f', under.module], { encoding: 'utf8' }).trim()
    expect(report.module.path).toBe(real)
    expect(report.module.sha256).toBe(toHex(sha256(readFileSync(real))))
    expect(report.probed).toMatchObject({ label: under.token.label, loggedIn: true })
    expect(report.notProbed).toBeNull()
    const slot = report.slots.find(({ slotId }) => slotId === report.probed?.slotId)
    expect(slot?.token).toMatchObject({ label: under.token.label, initialised: true })
    expect(slot?.token?.flags).toContain('CKF_TOKEN_INITIALIZED')
  })

  it('lists mechanisms with names, sizes and flags', () => {
    const ecb = report.mechanisms.find((mechanism) => mechanism.name === 'CKM_AES_ECB')
    expect(ecb).toMatchObject({ minKeySize: 16, maxKeySize: 32 })
    expect(ecb?.flags).toEqual(expect.arrayContaining(['ENCRYPT', 'DECRYPT']))
    expect(report.mechanisms.length).toBeGreaterThan(50)
  })

  it('tells the truth about enforcement', () => {
    const verdicts = Object.fromEntries(report.enforcement.map(({ id, verdict }) => [id, verdict]))
    expect(verdicts).toEqual(ENFORCED[name])
  })

  it('chooses the profile', () => {
    expect(report.profile).toMatchObject(PROFILE[name])
    expect(report.shutdown).toBe('clean')
    expect(report.knownAnswers.filter(({ result }) => result === 'mismatch')).toEqual([])
  })

  it('is JSON', () => {
    expect(JSON.parse(JSON.stringify(report))).toEqual(report)
  })

  it('reads well in 80 columns', () => {
    const lines = formatDoctorReport(report)
    expect(lines.filter((line) => line.length > 80)).toEqual([])
    expect(lines.filter((line) => /[\x00-\x1f\x7f]/.test(line))).toEqual([])
    const text = lines.join('\n')
    expect(text).toContain(report.module.sha256)
    for (const { attack } of report.enforcement) {
      expect(text.replace(/\s+/g, ' ')).toContain(attack)
    }
    expect(text).toContain('  rounds          multi-part: the trial succeeded')
    expect(text.includes('NON-EXTRACTABLE KEYS CAN BE WRAPPED OUT')).toBe(name === 'NSS')
    expect(text.includes('THIS TOKEN DOES NOT PROTECT ITS KEYS')).toBe(name === 'NSS')
  })

  it('refuses a wrong PIN as what it is, after one try', async () => {
    const wrong = under.token.userPin().reverse()
    await expect(
      runDoctor(under.module, { tokenUri: under.token.uri, pin: wrong, ...parameters(under) }),
    ).rejects.toMatchObject({ fn: 'C_Login', rv: 'CKR_PIN_INCORRECT', category: 'auth' })
  })

  it('probes without a PIN what needs none', async () => {
    const open = await runDoctor(under.module, {
      tokenUri: under.token.uri,
      ...parameters(under),
    })
    expect(open.probed?.loggedIn).toBe(false)
    expect(open.enforcement.find(({ id }) => id === 'always-authenticate')).toMatchObject({
      verdict: 'not probed',
      observed: 'no PIN was given',
    })
    expect(formatDoctorReport(open).join('\n')).toContain('No PIN was given')
  })
})

describe('which token', () => {
  let soft: SoftHsm
  const open = () => runDoctor(soft.module)
  beforeAll(() => {
    soft = softHsm()
  })
  afterAll(() => soft.cleanup())

  it('probes none where none is initialised, the only one, and none of several', async () => {
    expect(await open()).toMatchObject({ probed: null, notProbed: 'no token is initialised' })
    const { first } = soft.tokens('first')
    expect((await open()).probed).toMatchObject({ label: 'first', serial: first.serial })
    const { second } = soft.tokens('second')
    const several = await open()
    expect(several).toMatchObject({ probed: null, enforcement: [], profile: null })
    expect(formatDoctorReport(several).join('\n')).toContain('several tokens are initialised')
    const named = await runDoctor(soft.module, { tokenUri: second.uri, pin: second.userPin() })
    expect(named.probed).toMatchObject({ serial: second.serial, loggedIn: true })
  })

  it('gives a PIN to no token that was not named', async () => {
    await expect(runDoctor(soft.module, { pin: new Uint8Array(8) })).rejects.toMatchObject({
      code: 'TOKEN_AMBIGUOUS',
    })
    await expect(
      runDoctor(soft.module, { tokenUri: 'pkcs11:token=nobody', pin: new Uint8Array(8) }),
    ).rejects.toMatchObject({ code: 'TOKEN_NOT_FOUND' })
  })

  it('refuses a malformed URI before anything is loaded', async () => {
    const error: unknown = await runDoctor('/nowhere', { tokenUri: 'token=x' }).catch(
      (e: unknown) => e,
    )
    expect(error).toBeInstanceOf(TokenError)
    const uri: unknown = await runDoctor(soft.module, { tokenUri: 'token=x' }).catch(
      (e: unknown) => e,
    )
    expect(uri instanceof FormatError || uri instanceof TokenError).toBe(true)
    expect(uri).not.toBeInstanceOf(Pkcs11Error)
  })

  it('leaves the token as it was', async () => {
    const { third } = soft.tokens('third')
    const list = () =>
      execFileSync(
        'pkcs11-tool',
        ['--module', soft.module, '--token-label', 'third', '-O', '-l', '--pin', 'env:PIN'],
        {
          env: { ...process.env, PIN: Buffer.from(third.userPin()).toString() },
          encoding: 'utf8',
        },
      )
    const files = () => readdirSync(`${soft.dir}/tokens`, { recursive: true }).sort()
    const before = { objects: list(), files: files() }
    await runDoctor(soft.module, { tokenUri: third.uri, pin: third.userPin() })
    expect({ objects: list(), files: files() }).toEqual(before)
  })
})
