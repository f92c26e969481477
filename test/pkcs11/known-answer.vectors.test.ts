/** The doctor's vectors are checked against OpenSSL, then its questions are put to real tokens. */
import { createCipheriv, createHmac, randomBytes } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { concat, fromHex } from '../../src/bytes.ts'
import { Pkcs11Error } from '../../src/errors.ts'
import type { Cryptoki, ObjectHandle, SessionHandle } from '../../src/pkcs11/cryptoki.ts'
import type { ProbeSite } from '../../src/pkcs11/enforcement-bench.ts'
import { VECTOR_QUESTIONS, answer } from '../../src/pkcs11/known-answer.ts'
import { randomFault, softwareQuestions } from '../../src/pkcs11/known-answer-signature.ts'
import { probeWraps, recognise } from '../../src/pkcs11/known-answer-wrap.ts'
import type { Mechanism } from '../../src/pkcs11/mechanism.ts'
import { openCryptoki } from '../../src/pkcs11/native.ts'
import { pkcs11Error } from '../../src/pkcs11/return-value.ts'
import { eachModule } from '../tokens.ts'
import type { ModuleName, ModuleUnderTest } from '../tokens.ts'

/** A token of OpenSSL: a second implementation, so that a wrong vector cannot hide. */
function opensslToken(tamper: (result: Uint8Array) => Uint8Array = (result) => result): ProbeSite {
  const keys = new Map<bigint, Uint8Array>()
  let standing: { key: Uint8Array } | undefined
  const bytes = (parameter: Mechanism['parameter'], at: number): Uint8Array => {
    const field = parameter[at]
    return field !== undefined && 'bytes' in field ? field.bytes : new Uint8Array()
  }
  const run = (cipher: ReturnType<typeof createCipheriv>, data: Uint8Array) => {
    cipher.setAutoPadding(false)
    return new Uint8Array(Buffer.concat([cipher.update(data), cipher.final()]))
  }
  const encrypt = (how: Mechanism, key: Uint8Array, data: Uint8Array): Uint8Array => {
    switch (how.name) {
      case 'CKM_AES_ECB':
        return run(createCipheriv('aes-256-ecb', key, null), data)
      case 'CKM_AES_CBC':
        return run(createCipheriv('aes-256-cbc', key, bytes(how.parameter, 0)), data)
      case 'CKM_AES_GCM': {
        const gcm = createCipheriv('aes-256-gcm', key, bytes(how.parameter, 0))
        gcm.setAAD(bytes(how.parameter, 3))
        return new Uint8Array(Buffer.concat([gcm.update(data), gcm.final(), gcm.getAuthTag()]))
      }
      default:
        throw pkcs11Error('C_EncryptInit', 0x70)
    }
  }
  /** SP 800-38B §6.2 from the block cipher. */
  const cmac = (key: Uint8Array, data: Uint8Array): Uint8Array => {
    const e = (block: Uint8Array) => run(createCipheriv('aes-256-ecb', key, null), block)
    const double = (x: Uint8Array) => {
      const out = x.map((byte, at) => ((byte << 1) | ((x[at + 1] ?? 0) >> 7)) & 0xff)
      if ((x[0] ?? 0) & 0x80) out[15] = (out[15] ?? 0) ^ 0x87
      return out
    }
    const k1 = double(e(new Uint8Array(16)))
    const whole = data.length > 0 && data.length % 16 === 0
    const padded = whole
      ? data.slice()
      : concat(data, Uint8Array.of(0x80), new Uint8Array(15 - (data.length % 16)))
    const last = whole ? k1 : double(k1)
    for (let at = 0; at < 16; at += 1) padded[padded.length - 16 + at]! ^= last[at]!
    return run(createCipheriv('aes-256-cbc', key, new Uint8Array(16)), padded).slice(-16)
  }
  const same = (a: Uint8Array, b: Uint8Array) => Buffer.from(a).equals(b)
  const plain = new Map<string, Uint8Array>()
  const port: Partial<Cryptoki> = {
    openSession: () => 1n as SessionHandle,
    closeSession: () => undefined,
    createObject(_session, template) {
      const handle = BigInt(keys.size + 1) as ObjectHandle
      keys.set(handle, template.VALUE!)
      return handle
    },
    encrypt(_session, how, key, data) {
      const result = tamper(encrypt(how, keys.get(key)!, data))
      plain.set(Buffer.from(result).toString('hex'), data)
      return result
    },
    decrypt(_session, how, key, data) {
      // Good enough for the question: the inverse of what encrypt gave, or of the published box.
      const text = [...plain.values()].find((candidate) =>
        same(encrypt(how, keys.get(key)!, candidate), data),
      )
      if (text === undefined) throw pkcs11Error('C_Decrypt', 0x40)
      return text
    },
    sign: (_session, how, key, data) =>
      tamper(
        how.name === 'CKM_AES_CMAC'
          ? cmac(keys.get(key)!, data)
          : new Uint8Array(createHmac('sha256', keys.get(key)!).update(data).digest()),
      ),
    encryptInit: (_session, _how, key) => {
      standing = { key: keys.get(key)! }
    },
    encryptUpdate: (_session, data) =>
      tamper(run(createCipheriv('aes-256-ecb', standing!.key, null), data)),
    encryptFinal: () => new Uint8Array(),
  }
  return { cryptoki: port as Cryptoki, slotId: 1, loggedIn: false, soleLogin: false }
}

describe('published vectors', () => {
  const results = (site: ProbeSite) =>
    Object.fromEntries(
      VECTOR_QUESTIONS.map((question) => [question.id, answer(site, question).result]),
    )

  it('are what OpenSSL computes', () => {
    expect(results(opensslToken())).toEqual({
      'aes-ecb': 'match',
      'aes-ecb-multipart': 'match',
      'aes-cbc': 'match',
      'aes-cbc-zero-iv': 'match',
      'aes-gcm': 'match',
      'aes-gcm-wrong-tag': 'match',
      'aes-cmac': 'match',
      'hmac-sha256': 'match',
    })
  })

  it('tell a token that flips one bit', () => {
    const flipped = results(
      opensslToken((result) => {
        const out = result.slice()
        out[0]! ^= 1
        return out
      }),
    )
    // The forged-tag question has its own control, which fails on such a token.
    delete flipped['aes-gcm-wrong-tag']
    expect(new Set(Object.values(flipped))).toEqual(new Set(['mismatch']))
  })

  it('report a token that went away as an error, not as a missing mechanism', () => {
    const site = opensslToken()
    const gone: Partial<Cryptoki> = {
      ...site.cryptoki,
      createObject: () => {
        throw pkcs11Error('C_CreateObject', 0x32)
      },
    }
    expect(() => answer({ ...site, cryptoki: gone as Cryptoki }, VECTOR_QUESTIONS[0]!)).toThrow(
      Pkcs11Error,
    )
  })
})

describe('recognise', () => {
  const secret = fromHex('c37b7e6492584340bed12207808941155068f738')

  it('knows RFC 3394 §4.6', () => {
    expect(
      recognise(
        fromHex('28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21'),
        fromHex('00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f'),
      ),
    ).toBe('RFC 3394')
  })

  it('tells the forms of a 20-byte secret apart', () => {
    const kek = Uint8Array.from({ length: 32 }, (_, at) => at)
    const wrap = (cipher: string, iv: string, data: Uint8Array) => {
      const made = createCipheriv(cipher, kek, fromHex(iv))
      return new Uint8Array(Buffer.concat([made.update(data), made.final()]))
    }
    const padded = concat(secret, new Uint8Array(4))
    const kwp = (data: Uint8Array) => wrap('id-aes256-wrap-pad', 'a65959a6', data)
    const kw = (data: Uint8Array) => wrap('id-aes256-wrap', 'a6a6a6a6a6a6a6a6', data)
    expect(recognise(kwp(secret), secret)).toBe('RFC 5649')
    expect(recognise(kwp(padded), secret)).toBe('RFC 5649 of the zero-padded secret')
    expect(recognise(kw(padded), secret)).toBe('RFC 3394 of the zero-padded secret')
    expect(recognise(kw(concat(secret, new Uint8Array(4).fill(4))), secret)).toBe(
      'RFC 3394 after PKCS#7 padding',
    )
    expect(recognise(new Uint8Array(32), secret)).toBe('unknown')
  })
})

describe('randomFault', () => {
  const good = () => new Uint8Array(randomBytes(4096))

  it('accepts what OpenSSL draws', () => {
    expect(randomFault(good(), good())).toBeUndefined()
  })

  it('sees repeats, constants and bias', () => {
    const draw = good()
    expect(randomFault(draw, draw)).toBe('two draws are the same')
    expect(randomFault(new Uint8Array(4096), good())).toBe('a 16-byte block came twice')
    expect(
      randomFault(
        good().map((byte) => byte | 1),
        good(),
      ),
    ).toMatch(/of 32768 bits are set/)
  })
})

const SOFTWARE: Readonly<Record<ModuleName, Readonly<Record<string, string>>>> = {
  SoftHSM2: {
    ed25519: 'match',
    'ecdsa-p256-sha256': 'match',
    'rsa-oaep-sha1-wrap': 'match',
    'rsa-oaep-sha1-unwrap': 'match',
    'rsa-oaep-sha256-wrap': 'unavailable',
    'rsa-oaep-sha256-unwrap': 'unavailable',
    random: 'match',
  },
  NSS: {
    ed25519: 'unavailable',
    'ecdsa-p256-sha256': 'match',
    'rsa-oaep-sha1-wrap': 'match',
    'rsa-oaep-sha1-unwrap': 'match',
    'rsa-oaep-sha256-wrap': 'match',
    'rsa-oaep-sha256-unwrap': 'match',
    random: 'match',
  },
}

/** [32 bytes, 20 bytes] of the mechanisms both modules list. */
const WRAPS: Readonly<Record<ModuleName, Readonly<Record<string, readonly [string, string]>>>> = {
  SoftHSM2: {
    CKM_AES_KEY_WRAP_PAD: ['RFC 5649', 'RFC 5649 of the zero-padded secret'],
    CKM_AES_KEY_WRAP: ['RFC 3394', 'RFC 3394 of the zero-padded secret'],
  },
  NSS: {
    CKM_AES_KEY_WRAP_KWP: ['RFC 5649', 'RFC 5649'],
    CKM_AES_KEY_WRAP_PAD: ['RFC 3394 after PKCS#7 padding', 'RFC 3394 after PKCS#7 padding'],
    CKM_AES_KEY_WRAP: ['RFC 3394', 'RFC 3394 of the zero-padded secret'],
    CKM_NSS_AES_KEY_WRAP: ['RFC 3394', 'RFC 3394 of the zero-padded secret'],
    CKM_NSS_AES_KEY_WRAP_PAD: ['RFC 3394 after PKCS#7 padding', 'RFC 3394 after PKCS#7 padding'],
  },
}

eachModule((name, start) => {
  let under: ModuleUnderTest
  let cryptoki: Cryptoki
  let site: ProbeSite
  beforeAll(() => {
    under = start()
    const { module: path, libraryParameters } = under
    cryptoki = openCryptoki({
      path,
      ...(libraryParameters === undefined ? {} : { libraryParameters }),
    })
    const slotId = cryptoki
      .slots(true)
      .find((slot) => cryptoki.tokenInfo(slot).label === under.token.label)!
    const session = cryptoki.openSession(slotId, { readWrite: true })
    cryptoki.login(session, 'user', under.token.userPin())
    site = { cryptoki, slotId, loggedIn: true, soleLogin: true }
  })
  afterAll(() => {
    cryptoki.close()
    under.cleanup()
  })

  it('computes every published vector', () => {
    const wrong = VECTOR_QUESTIONS.map((question) => answer(site, question)).filter(
      ({ result }) => result !== 'match',
    )
    expect(wrong).toEqual([])
  })

  it('answers what is checked in software as the research found', () => {
    const got = softwareQuestions().map((question) => answer(site, question))
    expect(Object.fromEntries(got.map(({ id, result }) => [id, result]))).toEqual(SOFTWARE[name])
  })

  it('wraps in the forms the research found', () => {
    const listed = probeWraps(site, cryptoki.mechanismList(site.slotId)).filter((w) => w.listed)
    expect(Object.fromEntries(listed.map((w) => [w.mechanism, [w.bytes32, w.bytes20]]))).toEqual(
      WRAPS[name],
    )
  })
})
