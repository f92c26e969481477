/** Connections that share a module: what one does to it must not reach the sessions and keys of the others. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, expect, it } from 'vitest'

import { ECB } from '../../src/pkcs11/block-mechanism.ts'
import { loadModule } from '../../src/pkcs11/index.ts'
import { acquireModule } from '../../src/pkcs11/loaded-module.ts'
import { openCryptoki } from '../../src/pkcs11/native.ts'
import { softHsm } from '../tokens.ts'
import { knownAes, slotOf } from './open-session.ts'

const files = softHsm()
const { first, second } = files.tokens('first', 'second')
const hsm = await loadModule(files.module)
const module = acquireModule(files.module, {})
const raw = openCryptoki({ path: files.module })
afterAll(async () => {
  await hsm[Symbol.asyncDispose]()
  module.release()
  raw.close()
  files.cleanup()
})

it('encrypts nothing in a session that has the number of its own of before', async () => {
  const token = await hsm.login(first.uri, {
    pin: first.userPin(),
    pinAgain: () => Promise.resolve(first.userPin()),
    maxSessions: 1,
  })
  const key = await token.generate({ role: 'fpe', label: 'mine', id: randomBytes(16) })
  const cipher = key.blockCipher()
  const blocks = randomBytes(160)
  const answer = await cipher.encryptBlocks(blocks)
  const running = cipher.encryptBlocks(new Uint8Array(16 * 200_000))
  const waiting = cipher.encryptBlocks(blocks)
  await sleep(0)
  // Somebody else initialises the module again: the numbers go to sessions with operations under another key.
  await module.jobs.alone(() => {
    module.renew('reinit')
    const slot = slotOf(raw, 'second')
    const sessions = Array.from({ length: 6 }, () => raw.openSession(slot, { readWrite: true }))
    raw.login(sessions[0]!, 'user', second.userPin())
    const other = raw.createObject(sessions[0]!, knownAes(randomBytes(32)))
    for (const session of sessions) raw.encryptInit(session, ECB, other)
  })
  expect(await waiting).toEqual(answer)
  await running
})
