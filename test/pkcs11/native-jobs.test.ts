/** A job is in flight between its calls too, whoever began it. */
import { afterAll, beforeAll, expect, test } from 'vitest'

import { CKM } from '../../src/pkcs11/constants-ckm.ts'
import type { Cryptoki } from '../../src/pkcs11/cryptoki.ts'
import { mechanism } from '../../src/pkcs11/mechanism.ts'
import { openCryptoki } from '../../src/pkcs11/native.ts'
import { softHsm } from '../tokens.ts'
import { aes, openSession } from './open-session.ts'

const hsm = softHsm()
const { vault } = hsm.tokens('vault')
let cryptoki: Cryptoki

beforeAll(() => {
  cryptoki = openCryptoki({ path: hsm.module })
})
afterAll(() => {
  cryptoki.close()
  hsm.cleanup()
})

test('nobody finalises the module until it has ended', async () => {
  const session = openSession(cryptoki, vault)
  const key = cryptoki.generateKey(session, mechanism(CKM.AES_KEY_GEN), aes())
  const input = new Uint8Array(16 * 100_000)
  const output = new Uint8Array(input.length)
  const how = {
    ...{ multiPart: false, singleBlocks: false, chunkBlocks: 1 },
    ...{ begun: false, leaveOpen: false },
  }
  const ecb = mechanism(CKM.AES_ECB)
  const job = cryptoki.encryptBlocks(session, ecb, key, how, input, output)
  const busy = expect.objectContaining({ code: 'MODULE_BUSY' }) as Error
  // At once, and at any moment: of which most are between two calls.
  for (let n = 0; n < 200; n += 1) {
    expect(cryptoki.inFlight).toBeGreaterThan(0)
    expect(() => cryptoki.reinitialize()).toThrow(busy)
    expect(() => cryptoki.reload()).toThrow(busy)
    expect(() => cryptoki.close()).toThrow(busy)
  }
  await job
  expect(cryptoki.inFlight).toBe(0)
  expect(output.subarray(0, 16)).toEqual(cryptoki.encrypt(session, ecb, key, input.subarray(0, 16)))
  cryptoki.reinitialize()
})
