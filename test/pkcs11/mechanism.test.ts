import {
  constants,
  createCipheriv,
  createHash,
  createPublicKey,
  publicEncrypt,
  randomBytes,
  verify,
} from 'node:crypto'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { TokenError } from '../../src/errors.ts'
import { encodeMechanism } from '../../src/pkcs11/addon.ts'
import type { Template } from '../../src/pkcs11/attribute.ts'
import { CKK, CKO } from '../../src/pkcs11/constants.ts'
import { CKM } from '../../src/pkcs11/constants-ckm.ts'
import type { Cryptoki, SessionHandle } from '../../src/pkcs11/cryptoki.ts'
import {
  aesCbcEncryptData,
  aesCtr,
  aesEcbEncryptData,
  aesGcm,
  ecdh1Derive,
  ecdsa,
  eddsa,
  mechanism,
  mechanismWithNumber,
  rsaAesKeyWrap,
  rsaOaep,
  rsaPss,
} from '../../src/pkcs11/mechanism.ts'
import { openCryptoki } from '../../src/pkcs11/native.ts'
import { eachModule } from '../tokens.ts'
import type { ModuleUnderTest } from '../tokens.ts'
import { knownAes, openSession } from './open-session.ts'

const key = new Uint8Array(randomBytes(32))
const iv16 = new Uint8Array(randomBytes(16))
const data = new Uint8Array(randomBytes(32))

describe('mechanism parameters', () => {
  it('are laid out as the structures of the standard', () => {
    const iv = new Uint8Array(12)
    const aad = new Uint8Array(5)
    const none = new Uint8Array()
    expect(encodeMechanism(aesGcm({ iv, aad })).parameter).toEqual([iv, 12, 96, aad, 5, 128])
    expect(encodeMechanism(rsaOaep('sha256')).parameter).toEqual([0x250, 2, 1, none, 0])
    expect(encodeMechanism(rsaPss('sha384'))).toEqual({ type: 0x44, parameter: [0x260, 3, 48] })
    expect(encodeMechanism(ecdsa('sha256'))).toEqual({ type: 0x1044, parameter: [] })
    expect(encodeMechanism(eddsa()).parameter).toEqual([])
    expect(encodeMechanism(eddsa({ prehash: true, context: aad })).parameter).toEqual([1, 5, aad])
    expect(encodeMechanism(ecdh1Derive(iv, null)).parameter).toEqual([1, 0, none, 12, iv])
    expect(encodeMechanism(ecdh1Derive(iv, 'sha256', aad)).parameter).toEqual([6, 5, aad, 12, iv])
    expect(encodeMechanism(aesCbcEncryptData(iv16, data)).parameter).toEqual([
      { inline: iv16 },
      data,
      32,
    ])
    expect(encodeMechanism(aesEcbEncryptData(data)).parameter).toEqual([data, 32])
    expect(encodeMechanism(aesCtr(64, iv16)).parameter).toEqual([64, { inline: iv16 }])
    expect(encodeMechanism(mechanismWithNumber(CKM.AES_MAC_GENERAL, 8)).parameter).toEqual([8])
    expect(encodeMechanism(mechanism(CKM.AES_CBC, iv16)).parameter).toEqual([{ inline: iv16 }])
    expect(encodeMechanism(rsaAesKeyWrap(256, 'sha1')).parameter).toEqual([
      256,
      { fields: [0x220, 1, 1, none, 0] },
    ])
  })

  it('refuse wrong values before the native layer', () => {
    const iv = new Uint8Array(12)
    const wrong: (() => unknown)[] = [
      () => mechanism(-1),
      () => mechanism(1.5),
      () => mechanism('AES_ECB' as never),
      () => mechanism(CKM.AES_CBC, new Uint8Array()),
      () => mechanism(CKM.AES_CBC, 'iv' as never),
      () => aesGcm({ iv: new Uint8Array(), aad: iv }),
      () => aesGcm({ iv, aad: undefined as never }),
      () => aesGcm({ iv, aad: iv, tagBits: 100 }),
      () => aesGcm({ iv, aad: iv, tagBits: 64 }),
      () => rsaOaep('md5' as never),
      () => rsaOaep('toString' as never),
      () => rsaOaep('sha1', 'label' as never),
      () => rsaPss('sha3' as never),
      () => eddsa({ prehash: false, context: new Uint8Array(256) }),
      () => ecdh1Derive(new Uint8Array(), null),
      () => aesCbcEncryptData(iv, data),
      () => aesEcbEncryptData(new Uint8Array(8)),
      () => aesCtr(0, iv16),
      () => aesCtr(129, iv16),
      () => rsaAesKeyWrap(100 as never, 'sha1'),
      () => mechanismWithNumber(CKM.AES_MAC_GENERAL, -8),
    ]
    for (const make of wrong) expect(make, String(make)).toThrow(TokenError)
  })

  it('come from this library only: look-alikes are refused', () => {
    const real = mechanism(CKM.AES_ECB)
    for (const forged of [
      { ...real },
      null,
      undefined,
      1,
      'CKM_AES_ECB',
      { type: 1, parameter: [] },
    ]) {
      expect(() => encodeMechanism(forged as never)).toThrow(/wrong mechanism parameter/)
    }
  })
})

eachModule((name, start) => {
  let module: ModuleUnderTest
  let cryptoki: Cryptoki
  let session: SessionHandle

  beforeAll(() => {
    module = start()
    cryptoki = openCryptoki({
      path: module.module,
      ...(module.libraryParameters === undefined
        ? {}
        : { libraryParameters: module.libraryParameters }),
    })
    session = openSession(cryptoki, module.token)
  })
  afterAll(() => {
    cryptoki.close()
    module.cleanup()
  })

  const aesKey = (changes: Template = {}) => cryptoki.createObject(session, knownAes(key, changes))

  const derived: Template = {
    CLASS: CKO.SECRET_KEY,
    KEY_TYPE: CKK.AES,
    VALUE_LEN: 32,
    TOKEN: false,
    SENSITIVE: false,
    EXTRACTABLE: true,
  }

  it('AES-ECB and AES-CBC as node:crypto', () => {
    const handle = aesKey()
    const ecb = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false)
    expect(cryptoki.encrypt(session, mechanism(CKM.AES_ECB), handle, data)).toEqual(
      new Uint8Array(ecb.update(data)),
    )
    const cbc = createCipheriv('aes-256-cbc', key, iv16).setAutoPadding(false)
    const sealed = cryptoki.encrypt(session, mechanism(CKM.AES_CBC, iv16), handle, data)
    expect(sealed).toEqual(new Uint8Array(cbc.update(data)))
    expect(cryptoki.decrypt(session, mechanism(CKM.AES_CBC, iv16), handle, sealed)).toEqual(data)
  })

  it('AES-CTR as node:crypto', () => {
    const handle = aesKey()
    const cipher = createCipheriv('aes-256-ctr', key, iv16)
    expect(cryptoki.encrypt(session, aesCtr(128, iv16), handle, data)).toEqual(
      new Uint8Array(cipher.update(data)),
    )
  })

  it('row 17: AES-GCM with ulIvBits set, as node:crypto; empty data too', () => {
    const handle = aesKey()
    const iv = new Uint8Array(randomBytes(12))
    const aad = new Uint8Array(randomBytes(20))
    for (const plain of [data, data.subarray(0, 7), new Uint8Array()]) {
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(aad)
      const expected = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
      const sealed = cryptoki.encrypt(session, aesGcm({ iv, aad }), handle, plain)
      expect(sealed).toEqual(new Uint8Array(expected))
      expect(cryptoki.decrypt(session, aesGcm({ iv, aad }), handle, sealed)).toEqual(
        new Uint8Array(plain),
      )
    }
  })

  it('row 16: AES_CBC_ENCRYPT_DATA and AES_ECB_ENCRYPT_DATA, which pkcs11js cannot make', () => {
    const handle = aesKey()
    const cbc = createCipheriv('aes-256-cbc', key, iv16).setAutoPadding(false)
    const ecb = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false)
    const value = (object: ReturnType<typeof aesKey>) =>
      cryptoki.getAttributes(session, object, ['VALUE']).value('VALUE')
    const byCbc = cryptoki.deriveKey(session, aesCbcEncryptData(iv16, data), handle, derived)
    expect(value(byCbc)).toEqual(new Uint8Array(cbc.update(data)))
    const byEcb = cryptoki.deriveKey(session, aesEcbEncryptData(data), handle, derived)
    expect(value(byEcb)).toEqual(new Uint8Array(ecb.update(data)))
  })

  describe('RSA', () => {
    let pair: ReturnType<Cryptoki['generateKeyPair']>
    let publicKey: ReturnType<typeof createPublicKey>

    beforeAll(() => {
      pair = cryptoki.generateKeyPair(
        session,
        mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
        {
          TOKEN: false,
          ENCRYPT: true,
          VERIFY: true,
          WRAP: true,
          MODULUS_BITS: 2048,
          PUBLIC_EXPONENT: Uint8Array.of(1, 0, 1),
        },
        { TOKEN: false, PRIVATE: true, DECRYPT: true, SIGN: true, UNWRAP: true },
      )
      const read = cryptoki.getAttributes(session, pair.publicKey, ['MODULUS', 'PUBLIC_EXPONENT'])
      const b64u = (bytes: Uint8Array | undefined) => Buffer.from(bytes!).toString('base64url')
      publicKey = createPublicKey({
        format: 'jwk',
        key: { kty: 'RSA', n: b64u(read.value('MODULUS')), e: b64u(read.value('PUBLIC_EXPONENT')) },
      })
    })

    it('OAEP decrypts what node:crypto encrypted, wraps and unwraps', () => {
      const hash = name === 'NSS' ? 'sha256' : 'sha1' // SoftHSM 2.6 has SHA-1 only
      const label = name === 'NSS' ? data : new Uint8Array()
      const sealed = publicEncrypt(
        {
          key: publicKey,
          padding: constants.RSA_PKCS1_OAEP_PADDING,
          oaepHash: hash,
          oaepLabel: label,
        },
        key,
      )
      expect(
        cryptoki.decrypt(session, rsaOaep(hash, label), pair.privateKey, new Uint8Array(sealed)),
      ).toEqual(key)
      const wrapped = cryptoki.wrapKey(session, rsaOaep(hash, label), pair.publicKey, aesKey())
      expect(wrapped.length).toBe(256)
      const back = cryptoki.unwrapKey(
        session,
        rsaOaep(hash, label),
        pair.privateKey,
        wrapped,
        knownAes(undefined),
      )
      expect(cryptoki.getAttributes(session, back, ['VALUE']).value('VALUE')).toEqual(key)
    })

    it('PSS verifies in node:crypto', () => {
      const signature = cryptoki.sign(session, rsaPss('sha256'), pair.privateKey, data)
      const options = { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
      expect(verify('sha256', data, options, signature)).toBe(true)
      expect(cryptoki.verify(session, rsaPss('sha256'), pair.publicKey, data, signature)).toBe(true)
      signature[0]! ^= 1
      expect(cryptoki.verify(session, rsaPss('sha256'), pair.publicKey, data, signature)).toBe(
        false,
      )
      expect(
        cryptoki.verify(session, rsaPss('sha256'), pair.publicKey, data, signature.subarray(1)),
      ).toBe(false)
    })
  })

  it('ECDH and ECDSA on P-256', () => {
    const curve = Uint8Array.from(Buffer.from('06082a8648ce3d030107', 'hex'))
    const generate = () =>
      cryptoki.generateKeyPair(
        session,
        mechanism(CKM.EC_KEY_PAIR_GEN),
        { TOKEN: false, VERIFY: true, EC_PARAMS: curve },
        { TOKEN: false, PRIVATE: true, SIGN: true, DERIVE: true },
      )
    const [a, b] = [generate(), generate()]
    const point = (pair: typeof a) =>
      cryptoki.getAttributes(session, pair.publicKey, ['EC_POINT']).value('EC_POINT')!.subarray(2)
    const shared = (own: typeof a, other: typeof a, kdf: 'sha256' | null) => {
      const how = ecdh1Derive(point(other), kdf)
      const secret = cryptoki.deriveKey(session, how, own.privateKey, derived)
      return cryptoki.getAttributes(session, secret, ['VALUE']).value('VALUE')!
    }
    expect(shared(a, b, null)).toEqual(shared(b, a, null))
    if (name === 'NSS') {
      // ANSI X9.63 with one block: SHA-256(Z || 00000001); SoftHSM 2.6 has no KDF.
      const z = shared(a, b, null)
      const expected = createHash('sha256')
        .update(z)
        .update(Uint8Array.of(0, 0, 0, 1))
        .digest()
      expect(shared(a, b, 'sha256')).toEqual(new Uint8Array(expected))
    }
    const digest = createHash('sha256').update(data).digest()
    const signature = cryptoki.sign(session, mechanism(CKM.ECDSA), a.privateKey, digest)
    expect(signature.length).toBe(64)
    expect(cryptoki.verify(session, mechanism(CKM.ECDSA), a.publicKey, digest, signature)).toBe(
      true,
    )
    expect(cryptoki.verify(session, mechanism(CKM.ECDSA), b.publicKey, digest, signature)).toBe(
      false,
    )
  })
})
