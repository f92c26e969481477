/** Signature encodings, and what happens when the token's signature is not the key's. */
import { createECDH, generateKeyPairSync, sign, verify } from 'node:crypto'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { concat, fromHex, toHex, utf8 } from '../../src/bytes.ts'
import type { Place } from '../../src/pkcs11/connection.ts'
import type { Cryptoki, ObjectHandle, SessionHandle } from '../../src/pkcs11/cryptoki.ts'
import {
  bestScheme,
  ecdsaToDer,
  readSpki,
  SCHEMES,
  signAndVerify,
} from '../../src/pkcs11/signature.ts'

const KEY = 1n as ObjectHandle

/** A token that answers with these attributes and this signature; no real one gives wrong ones. */
function answering(attributes: Record<string, unknown>, signature = new Uint8Array()): Place {
  const cryptoki: Partial<Cryptoki> = {
    getAttributes: () => ({
      size: 0,
      get: () => undefined,
      value: (name: string) => attributes[name] as never,
      entries: () => new Map<never, never>().entries(),
    }),
    sign: () => signature,
  }
  return {
    cryptoki: cryptoki as Cryptoki,
    session: 1n as SessionHandle,
    slotId: 0,
    epoch: 1,
    change: (call) => call(),
  }
}

const ed25519 = generateKeyPairSync('ed25519')
const edSpki = new Uint8Array(ed25519.publicKey.export({ type: 'spki', format: 'der' }))
const edPoint = edSpki.subarray(-32)
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ecSpki = new Uint8Array(p256.publicKey.export({ type: 'spki', format: 'der' }))
const ecPoint = ecSpki.subarray(-65)
const ED = { KEY_TYPE: 0x40, EC_PARAMS: fromHex('06032b6570') }
const EC = { KEY_TYPE: 0x03, EC_PARAMS: fromHex('06082a8648ce3d030107') }

describe('ECDSA r||s to DER', () => {
  test('OpenSSL verifies every one, with leading zeros and high bits', () => {
    const message = utf8('checkpoint')
    for (let n = 0; n < 200; n += 1) {
      const rawSignature = sign('sha256', message, {
        key: p256.privateKey,
        dsaEncoding: 'ieee-p1363',
      })
      const der = ecdsaToDer(new Uint8Array(rawSignature))
      expect(verify('sha256', message, p256.publicKey, der)).toBe(true)
    }
  })

  test('integers are minimal and positive (X.690 §8.3.2)', () => {
    const half = fc.uint8Array({ minLength: 32, maxLength: 32 })
    fc.assert(
      fc.property(half, half, (r, s) => {
        const der = ecdsaToDer(concat(r, s))
        expect(der[0]).toBe(0x30)
        expect(der[1]).toBe(der.length - 2)
        let at = 2
        for (const wanted of [r, s]) {
          const length = der[at + 1]!
          const body = der.subarray(at + 2, at + 2 + length)
          expect(der[at]).toBe(0x02)
          expect(BigInt(`0x${toHex(body)}`)).toBe(BigInt(`0x${toHex(wanted)}`))
          expect(body[0]!).toBeLessThan(0x80)
          if (length > 1) expect(body[0] !== 0 || body[1]! >= 0x80).toBe(true)
          at += 2 + length
        }
        expect(at).toBe(der.length)
      }),
      { examples: [[new Uint8Array(32), new Uint8Array(32).fill(0xff)]] },
    )
  })
})

describe('public keys', () => {
  test.each([
    ['raw', edPoint],
    ['OCTET STRING', concat(fromHex('0420'), edPoint)],
    ['BIT STRING', concat(fromHex('032100'), edPoint)],
  ])('Ed25519 point as %s', (_, EC_POINT) => {
    expect(readSpki(answering({ ...ED, EC_POINT }), KEY)).toEqual({
      algorithm: 'ed25519',
      spki: edSpki,
    })
  })

  test.each([
    ['raw', ecPoint],
    ['OCTET STRING', concat(fromHex('0441'), ecPoint)],
  ])('P-256 point as %s', (_, EC_POINT) => {
    expect(readSpki(answering({ ...EC, EC_POINT }), KEY)).toEqual({
      algorithm: 'ecdsa-p256-sha256',
      spki: ecSpki,
    })
  })

  test.each([
    ['nothing', EC, new Uint8Array()],
    ['another wrapping', EC, concat(fromHex('0541'), ecPoint)],
    ['a longer one', ED, concat(fromHex('0421'), edPoint, fromHex('00'))],
    ['a point off the curve', EC, ecPoint.map((byte, at) => (at === 64 ? byte ^ 1 : byte))],
  ])('%s is no public key', (_, attributes, EC_POINT) => {
    expect(() => readSpki(answering({ ...attributes, EC_POINT }), KEY)).toThrow(
      expect.objectContaining({ code: 'KNOWN_ANSWER_MISMATCH' }),
    )
  })

  test('another curve is no scheme of keyrite', () => {
    const curve = createECDH('secp384r1').generateKeys()
    const attributes = { ...EC, EC_PARAMS: fromHex('06052b81040022'), EC_POINT: curve }
    expect(() => readSpki(answering(attributes), KEY)).toThrow(
      expect.objectContaining({ code: 'MECHANISM_UNAVAILABLE' }),
    )
  })
})

describe('signing', () => {
  const message = utf8('entry')
  const other = generateKeyPairSync('ed25519')

  test('a signature of another key is KEY_CHANGED, and is not released', () => {
    const wrong = new Uint8Array(sign(null, message, other.privateKey))
    expect(() =>
      signAndVerify(answering({}, wrong), KEY, { algorithm: 'ed25519', spki: edSpki }, message),
    ).toThrow(expect.objectContaining({ code: 'KEY_CHANGED' }))
  })

  test('the right one is released as it is', () => {
    const right = new Uint8Array(sign(null, message, ed25519.privateKey))
    const publicKey = { algorithm: 'ed25519', spki: edSpki } as const
    expect(signAndVerify(answering({}, right), KEY, publicKey, message)).toEqual(right)
  })
})

describe('the scheme of a token', () => {
  const [ed, ec] = SCHEMES
  test('Ed25519 first, P-256 next, none is an error', () => {
    expect(bestScheme([ec!.generate, ec!.sign, ed!.generate, ed!.sign])).toBe(ed)
    expect(bestScheme([ec!.generate, ec!.sign, ed!.sign])).toBe(ec)
    expect(() => bestScheme([ec!.sign, ed!.generate])).toThrow(
      expect.objectContaining({ code: 'MECHANISM_UNAVAILABLE' }),
    )
  })
})
