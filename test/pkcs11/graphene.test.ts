/** Adoption of a session of the real graphene-pk11. */
import { createRequire } from 'node:module'

import type * as Graphene from 'graphene-pk11'
import { afterAll, describe, expect, it } from 'vitest'

import { adoptGraphene } from '../../src/pkcs11/graphene.ts'
import { loadModule } from '../../src/pkcs11/module.ts'
import { remoteModule, softHsm } from '../tokens.ts'

const graphene = createRequire(import.meta.url)('graphene-pk11') as typeof Graphene

const hsm = softHsm()
const { vault } = hsm.tokens('vault')
afterAll(() => hsm.cleanup())

const OPEN = (graphene.SessionFlag.RW_SESSION |
  graphene.SessionFlag.SERIAL_SESSION) as Graphene.SessionFlag

function openSession(
  path: string,
  label: string,
): { module: Graphene.Module; slot: Graphene.Slot } {
  const module = graphene.Module.load(path)
  module.initialize({ flags: 2 })
  const slots = module.getSlots(true)
  for (let at = 0; at < slots.length; at++) {
    if (slots.items(at).getToken().label.trim() === label) return { module, slot: slots.items(at) }
  }
  throw new Error('no such token')
}

const text = (pin: Uint8Array) => Buffer.from(pin).toString('ascii')

describe('adoptGraphene', () => {
  it('works on the token under the login of the caller, and leaves both alone', async () => {
    const { module, slot } = openSession(hsm.module, 'vault')
    const session = slot.open(OPEN)
    session.login(text(vault.userPin()))
    const theirs = session.generateKey(graphene.KeyGenMechanism.AES, {
      keyType: graphene.KeyType.AES,
      valueLen: 32,
      token: true,
      private: true,
      encrypt: true,
      label: 'theirs',
      id: Buffer.from('0102', 'hex'),
    })
    {
      await using adopted = await adoptGraphene(session)
      expect(adopted.token.info).toMatchObject({ label: 'vault', serial: vault.serial })
      const key = await adopted.token.key('pkcs11:object=theirs;type=secret-key')
      const block = Buffer.alloc(16, 7)
      const sealed = await key.blockCipher().encryptBlocks(block)
      const cipher = session.createCipher(graphene.MechanismEnum.AES_ECB, theirs)
      expect(Buffer.from(sealed)).toEqual(cipher.once(block, Buffer.alloc(32)))
      const own = await adopted.token.generate({
        role: 'fpe',
        label: 'ours',
        id: Uint8Array.of(9, 9),
      })
      expect(own.id).toBe('0909')
    }
    expect(session.find({ label: 'ours' }).length).toBe(1)
    // The caller finalises on its own; keyrite can load the module afterwards, as its owner.
    session.logout()
    session.close()
    module.finalize()
    const later = await loadModule(hsm.module)
    const token = await later.login(vault.uri, { pin: vault.userPin() })
    expect((await token.find({ label: 'ours' })).length).toBe(1)
    await later[Symbol.asyncDispose]()
    expect(() => module.getSlots(true)).toThrow(/NOT_INITIALIZED/)
  })

  it('refuses what is no session, and a session that is closed', async () => {
    const wrong = [null, undefined, {}, { handle: Buffer.alloc(8) }, 7]
    for (const value of wrong) {
      await expect(adoptGraphene(value as never)).rejects.toMatchObject({
        code: 'ARGUMENT_INVALID',
      })
    }
    const { module, slot } = openSession(hsm.module, 'vault')
    const session = slot.open(OPEN)
    session.close()
    await expect(adoptGraphene(session)).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' })
    module.finalize()
  })

  it('refuses a module that keeps its sessions to each loader', async () => {
    const remote = remoteModule()
    remote.tokens('far')
    remote.start()
    try {
      let opened: ReturnType<typeof openSession> | undefined
      for (let tries = 0; opened === undefined && tries < 50; tries++) {
        try {
          opened = openSession(remote.module, 'far')
        } catch {
          // The server may not listen yet.
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      }
      const session = opened!.slot.open(OPEN)
      await expect(adoptGraphene(session)).rejects.toMatchObject({
        code: 'ARGUMENT_INVALID',
        hint: 'log in through keyrite',
      })
      expect(session.slot.getToken().label.trim()).toBe('far')
      opened!.module.finalize()
    } finally {
      remote.cleanup()
    }
  })
})
