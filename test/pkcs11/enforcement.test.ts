import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { TokenError } from '../../src/errors.ts'
import { loadModule, probeEnforcement } from '../../src/pkcs11/index.ts'
import type { EnforcementRow, Hsm } from '../../src/pkcs11/index.ts'
import { connectionOf } from '../../src/pkcs11/token-connection.ts'
import { eachModule, softHsm } from '../tokens.ts'
import type { ModuleName, ModuleUnderTest, SoftHsm, TestToken } from '../tokens.ts'
import { ENFORCED, SCRATCH } from './enforcement-expected.ts'

const load = ({ module, libraryParameters }: ModuleUnderTest) =>
  loadModule(module, libraryParameters === undefined ? {} : { libraryParameters })

const column = (rows: readonly EnforcementRow[]): Record<string, string> =>
  Object.fromEntries(rows.map(({ id, verdict }) => [id, verdict]))

/** Rows that need a logout are left alone on a token that is in use. */
const IN_USE = {
  'private-after-logout': 'not probed',
  'private-without-login': 'not probed',
  'public-without-login': 'not probed',
}

/** Without PIN, the rows that need one are not probed, and the others come out the same. */
const PUBLIC = { 'always-authenticate': 'not probed', 'private-after-logout': 'not probed' }

eachModule((name: ModuleName, start) => {
  let under: ModuleUnderTest
  let hsm: Hsm
  beforeAll(async () => {
    under = start()
    hsm = await load(under)
  })
  afterAll(async () => {
    await hsm[Symbol.asyncDispose]()
    under.cleanup()
  })

  it('gives the verdicts of the research on a logged-in token, and leaves nothing behind', async () => {
    await using token = await hsm.login(under.token.uri, { pin: under.token.userPin() })
    const before = await token.inventory()
    const rows = await probeEnforcement(token)
    expect(column(rows)).toEqual({ ...ENFORCED[name], ...IN_USE })
    expect(await token.inventory()).toEqual(before)
    // The login is untouched: this needs one.
    const key = await token.generate({
      role: 'kek-outer',
      label: 'after the probe',
      id: Uint8Array.of(1),
    })
    expect((await token.sealGcm(key, Uint8Array.of(1), Uint8Array.of(2))).ciphertext).toHaveLength(
      17,
    )
    await token.destroy(key, { by: ['test'], intentSha256: '00'.repeat(32) })
  })

  it('gives the same verdicts again, and rows that survive JSON', async () => {
    await using token = await hsm.login(under.token.uri, { pin: under.token.userPin() })
    const first = await probeEnforcement(token)
    const second = await probeEnforcement(token)
    expect(second).toEqual(first)
    expect(JSON.parse(JSON.stringify(first))).toEqual(first)
    expect(new Set(first.map(({ id }) => id)).size).toBe(first.length)
    for (const row of first) {
      expect(row.consequence, row.id).not.toBe('')
      expect(row.observed, row.id).not.toBe('')
    }
  })

  it('probes without login what it can, and says what it left out', async () => {
    await using token = await hsm.open(under.token.uri)
    const rows = await probeEnforcement(token)
    expect(column(rows)).toEqual({ ...ENFORCED[name], ...PUBLIC })
    const left = rows.filter(({ id }) => id in PUBLIC)
    expect(left.map(({ observed }) => observed)).toEqual(['no PIN was given', 'no PIN was given'])
  })

  it('leaves no session object, not even of an attack on DESTROYABLE', async () => {
    await using token = await hsm.login(under.token.uri, { pin: under.token.userPin() })
    await probeEnforcement(token)
    const found = await connectionOf(token).run(({ cryptoki, session }) =>
      cryptoki.findObjects(session, { LABEL: SCRATCH }),
    )
    expect(found).toEqual([])
  })

  it('never tries to lock the PIN', async () => {
    await using token = await hsm.login(under.token.uri, { pin: under.token.userPin() })
    const lockout = (await probeEnforcement(token)).find(({ id }) => id === 'pin-lockout')
    expect(lockout).toMatchObject({ verdict: 'not probed' })
    expect(lockout?.observed).toContain('could lock the token')
    expect(token.info.flags).not.toContain('CKF_USER_PIN_COUNT_LOW')
  })
})

describe('what NSS gives away', () => {
  it('differs from SoftHSM2 in the rows that matter', () => {
    const differ = Object.keys(ENFORCED.NSS).filter(
      (id) => ENFORCED.NSS[id] !== ENFORCED.SoftHSM2[id],
    )
    expect(differ).toContain('wrap-unextractable')
    expect(differ).toContain('copy-extractable-on')
    expect(differ.every((id) => ENFORCED.SoftHSM2[id] === 'enforced')).toBe(true)
  })
})

describe('who may probe', () => {
  let soft: SoftHsm
  let vault: TestToken
  beforeAll(() => {
    soft = softHsm()
    vault = soft.tokens('vault').vault
  })
  afterAll(() => soft.cleanup())

  it('refuses an SO login, because its rights are not those of the user', async () => {
    await using hsm = await loadModule(soft.module)
    await using token = await hsm.login(vault.uri, { pin: vault.soPin(), user: 'so' })
    await expect(probeEnforcement(token)).rejects.toMatchObject({
      code: 'ARGUMENT_INVALID',
      got: 'an SO login',
    })
  })

  it('refuses a token of somebody else', async () => {
    await using hsm = await loadModule(soft.module)
    await using token = await hsm.open(vault.uri)
    await expect(probeEnforcement({ ...token })).rejects.toBeInstanceOf(TokenError)
  })
})
