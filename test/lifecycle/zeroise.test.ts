/** Zeroisation on a real token: the attempts fail when the key is gone, and succeed in failing when it is not. */
import { randomBytes } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { QuorumError, TokenError } from '../../src/errors.ts'
import { falsifyZeroise, findFromFreshProcess, plantCanary } from '../../src/lifecycle/index.ts'
import { type Hsm, type KeyRole, type Token, loadModule } from '../../src/pkcs11/index.ts'
import { type TestToken, softHsm } from '../tokens.ts'

const softhsm = softHsm()
const approval = { by: ['alice', 'bob'], intentSha256: 'ab'.repeat(32) }
let vault: TestToken
let hsm: Hsm
let token: Token

beforeAll(async () => {
  ;({ vault } = softhsm.tokens('vault'))
  hsm = await loadModule(softhsm.module)
  token = await hsm.login(vault.uri, { pin: vault.userPin() })
})

afterAll(async () => {
  await hsm[Symbol.asyncDispose]()
  softhsm.cleanup()
})

const query = (key: { id: string; label: string }) => ({
  modulePath: softhsm.module,
  tokenUri: vault.uri,
  id: key.id,
  label: key.label,
})

const roles: readonly KeyRole[] = ['fpe', 'kek', 'kek-outer', 'embedding-seed', 'log-signer']

describe.each(roles)('a key of role %s', (role) => {
  it('is found before, and can be neither found nor used after', async () => {
    const key = await token.generate({ role, label: `end of ${role}`, id: randomBytes(16) })
    const canary = await plantCanary(token, key, role)
    const before = await findFromFreshProcess(query(key), vault.userPin())
    expect(before.byId).toBeGreaterThan(0)
    expect(before.byLabel).toBeGreaterThan(0)

    // While the key is there, the falsification must not pass.
    await expect(falsifyZeroise(query(key), vault.userPin(), [])).rejects.toMatchObject({
      code: 'KEY_CHANGED',
    })

    await token.destroy(key, approval)
    const found = await falsifyZeroise(query(key), vault.userPin(), [canary])
    expect(found.map(({ outcome }) => outcome)).toEqual(['no object', 'KEY_NOT_FOUND'])
  })
})

it('an attempt that succeeds is an error: a second key with the old use is noticed', async () => {
  const gone = { id: '00'.repeat(16), label: 'never there' }
  await expect(
    falsifyZeroise(query(gone), vault.userPin(), [
      { attempt: 'a use that still works', use: () => Promise.resolve('plaintext') },
    ]),
  ).rejects.toMatchObject({ code: 'KEY_CHANGED', where: 'a use that still works' })
})

it.each([
  new TokenError('CONNECTION_LOST', 'the connection to the token is lost'),
  new QuorumError('QUORUM_NOT_MET', 'the other token was not opened'),
])('an attempt that was not made is not taken for absence: $code', async (reason) => {
  const gone = { id: '00'.repeat(16), label: 'never there' }
  await expect(
    falsifyZeroise(query(gone), vault.userPin(), [
      { attempt: 'over a cut line', use: () => Promise.reject(reason) },
    ]),
  ).rejects.toBe(reason)
})

it('a fresh process that cannot log in proves nothing', async () => {
  const wrong = new Uint8Array(64).fill(0x30)
  await expect(
    falsifyZeroise(query({ id: '00'.repeat(16), label: 'x' }), wrong, []),
  ).rejects.toMatchObject({ code: 'MODULE_CRASHED' })
})
