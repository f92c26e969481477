/** The ceremony check `token.enforcement` on a token that protects its keys and on one that does not. */
import { afterAll, expect, it } from 'vitest'

import { refuseLeakyToken } from '../../src/ceremony/enforcement-gate.ts'
import { loadModule, probeEnforcement } from '../../src/pkcs11/index.ts'
import { nssModule, softHsm } from '../tokens.ts'

const softhsm = softHsm()
const nss = nssModule()

afterAll(() => {
  nss.cleanup()
  softhsm.cleanup()
})

it('CER-ENFORCE-1: SoftHSM2 passes', async () => {
  const { vault } = softhsm.tokens('vault')
  await using hsm = await loadModule(softhsm.module)
  await using token = await hsm.login(vault.uri, { pin: vault.userPin() })
  const rows = await probeEnforcement(token)
  expect(rows.length).toBeGreaterThan(40)
  expect(() => refuseLeakyToken(rows, 'here')).not.toThrow()
})

it('CER-ENFORCE-1: NSS lets non-extractable keys out and is refused', async () => {
  await using hsm = await loadModule(nss.module, { libraryParameters: nss.libraryParameters })
  await using token = await hsm.login(nss.token.uri, { pin: nss.token.userPin() })
  const rows = await probeEnforcement(token)
  expect(() => refuseLeakyToken(rows, 'here')).toThrow(
    expect.objectContaining({ code: 'ENFORCEMENT_MISSING', requirement: 'CER-ENFORCE-1' }),
  )
})

it('CER-ENFORCE-1: an empty table proves nothing', () => {
  expect(() => refuseLeakyToken([], 'here')).toThrow(
    expect.objectContaining({ code: 'ENFORCEMENT_MISSING' }),
  )
})
