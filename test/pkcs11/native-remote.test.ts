/**
 * p11-kit's client gives every loader its own connection and login state: with two bindings side
 * by side the login of one would be unknown to the other. Through the addon both share one.
 */
import { setTimeout } from 'node:timers/promises'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { CKS } from '../../src/pkcs11/constants.ts'
import { CKM } from '../../src/pkcs11/constants-ckm.ts'
import type { Cryptoki } from '../../src/pkcs11/cryptoki.ts'
import { mechanism } from '../../src/pkcs11/mechanism.ts'
import { openCryptoki } from '../../src/pkcs11/native.ts'
import { remoteModule } from '../tokens.ts'
import { aes, openSession, slotOf } from './open-session.ts'

const remote = remoteModule()
const { vault } = remote.tokens('vault')
let cryptoki: Cryptoki

beforeAll(() => {
  remote.start()
  cryptoki = openCryptoki({ path: remote.module })
})
afterAll(() => {
  cryptoki.close()
  remote.cleanup()
})

describe('p11-kit client', () => {
  it('a login through the addon is the login of pkcs11js', () => {
    const session = openSession(cryptoki, vault) // C_OpenSession: pkcs11js, C_Login: addon
    expect(cryptoki.sessionInfo(session).state).toBe(CKS.RW_USER_FUNCTIONS)
    const key = cryptoki.generateKey(
      session,
      mechanism(CKM.AES_KEY_GEN),
      aes({ TOKEN: true, LABEL: 'far' }),
    )
    const sealed = cryptoki.encrypt(session, mechanism(CKM.AES_ECB), key, new Uint8Array(16))
    expect(sealed.length).toBe(16)
    const second = openCryptoki({ path: remote.module })
    expect(second.sessionInfo(session).state).toBe(CKS.RW_USER_FUNCTIONS)
    second.close()
  })

  it('array attributes, which it cannot carry, do not look like a lost connection', () => {
    const session = publicSession()
    const key = cryptoki.findObjects(session, { LABEL: 'far' })[0]!
    const read = cryptoki.getAttributes(session, key, ['LABEL', 'UNWRAP_TEMPLATE'])
    expect(read.value('LABEL')).toBe('far')
    const unwrap = read.get('UNWRAP_TEMPLATE')!
    expect(unwrap).toSatisfy(
      ({ status }: typeof unwrap) => status === 'failed' || status === 'value',
    )
    const how = mechanism(CKM.AES_KEY_GEN)
    const template = aes({ UNWRAP_TEMPLATE: { SENSITIVE: true } })
    if (unwrap.status === 'failed') {
      expect(() => cryptoki.generateKey(session, how, template)).toThrow(
        expect.objectContaining({ category: 'argument', retry: 'never' }) as Error,
      )
    } else {
      expect(cryptoki.generateKey(session, how, template)).toBeTypeOf('bigint')
    }
    expect(cryptoki.sessionInfo(session).state).toBe(CKS.RW_USER_FUNCTIONS)
  })

  it.each(['reinitialize', 'reload'] as const)(
    'a killed server is recovered by %s',
    async (step) => {
      const session = publicSession()
      remote.kill()
      let error: { retry?: string } = {}
      try {
        cryptoki.sessionInfo(session)
      } catch (caught) {
        error = caught as typeof error
      }
      expect(error).toMatchObject({ name: 'Pkcs11Error', rv: 'CKR_DEVICE_ERROR', retry: 'reinit' })
      remote.start()
      // The client initialises also when the server does not listen yet, with empty slots.
      do {
        await setTimeout(10)
        cryptoki[step]()
      } while (!cryptoki.slots(true).some((slot) => cryptoki.tokenInfo(slot).label === 'vault'))
      const again = openSession(cryptoki, vault)
      expect(cryptoki.findObjects(again, { LABEL: 'far' }).length).toBe(1)
    },
  )
})

/** A session without a login call: of a token that is logged in already. */
function publicSession() {
  return cryptoki.openSession(slotOf(cryptoki, 'vault'), { readWrite: true })
}
