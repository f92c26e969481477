/** SSHSIG against the real ssh-keygen, both directions, for every key type keyrite knows. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

import { afterAll, describe, expect, test } from 'vitest'

import { concat, sha256, toBase64, utf8 } from '../../src/bytes.ts'
import {
  checkSshsig,
  decodeSshsig,
  encodeSshsig,
  parseAllowedSigners,
  parseKeyBlob,
  parsePublicKey,
  type Sshsig,
  sshsigSignedData,
  verifySshsig,
} from '../../src/quorum/index.ts'
import { wireMpint, wireString, wireUint32 } from '../../src/quorum/ssh-wire.ts'

import { keygen, keygenSign, keygenVerify, thrown, workDirectory } from './people.ts'

const work = workDirectory()
afterAll(work.remove)
const message = utf8('{"action":"key.generate"}')
const namespace = 'keyrite-approval'
const principal = 'alice@keyrite.example'
const at = new Date('2026-06-01T12:00:00Z')

const KEYS = [
  ['ed25519', undefined],
  ['ecdsa', '256'],
  ['ecdsa', '384'],
  ['ecdsa', '521'],
  ['rsa', '2048'],
] as const

describe.each(KEYS)('%s %s by ssh-keygen', (type, bits) => {
  const file = work.path(`${type}-${bits ?? ''}`)
  const publicKey = keygen(file, type, '', bits)
  const roster = parseAllowedSigners(`${principal} ${publicKey}\n`)

  test.each(['sha512', 'sha256'])('verifies here, hash %s', (hash) => {
    const signature = keygenSign(file, namespace, message, ['-O', `hashalg=${hash}`])
    const owner = verifySshsig({ signature, message, namespace, principal, roster, at })
    expect(owner).toEqual({
      principal,
      keyFingerprint: parsePublicKey(publicKey).fingerprint,
      line: 1,
    })
    expect(decodeSshsig(signature).hash).toBe(hash)
    expect(encodeSshsig(decodeSshsig(signature))).toBe(signature)
  })

  test('one changed bit of message, namespace or signature is refused', async () => {
    const signature = keygenSign(file, namespace, message)
    const sig = decodeSshsig(signature)
    const flipped = message.slice()
    flipped[0]! ^= 1
    expect(await thrown(() => checkSshsig(sig, namespace, flipped))).toMatchObject({
      code: 'SIGNATURE_INVALID',
    })
    expect(await thrown(() => checkSshsig(sig, 'keyrite-checkpoint', message))).toMatchObject({
      code: 'SIGNATURE_WRONG_NAMESPACE',
    })
    const bytes = sig.signature.slice()
    bytes[bytes.length - 3]! ^= 4
    expect(
      await thrown(() => checkSshsig({ ...sig, signature: bytes }, namespace, message)),
    ).toMatchObject({ code: 'SIGNATURE_INVALID' })
    // A blob whose namespace field was rewritten: the signed data differs.
    const moved = { ...sig, namespace: 'keyrite-checkpoint' }
    expect(await thrown(() => checkSshsig(moved, 'keyrite-checkpoint', message))).toMatchObject({
      code: 'SIGNATURE_INVALID',
    })
  })
})

/** A FIDO2 key as PROTOCOL.u2f lays it out, with the private half at hand. */
function skKey(type: 'ed25519' | 'ecdsa') {
  const application = 'ssh:'
  const pair =
    type === 'ed25519'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = pair.publicKey.export({ format: 'jwk' })
  const bytes = (text = '') => new Uint8Array(Buffer.from(text, 'base64url'))
  const name =
    type === 'ed25519' ? 'sk-ssh-ed25519@openssh.com' : 'sk-ecdsa-sha2-nistp256@openssh.com'
  const fields =
    type === 'ed25519'
      ? [wireString(bytes(jwk.x))]
      : [wireString('nistp256'), wireString(concat(Uint8Array.of(4), bytes(jwk.x), bytes(jwk.y)))]
  const blob = concat(wireString(name), ...fields, wireString(application))
  const make = (flags: number): string => {
    const tail = concat(Uint8Array.of(flags), wireUint32(41))
    const data = sshsigSignedData(namespace, 'sha512', message)
    const signed = concat(sha256(utf8(application)), tail, sha256(data))
    const signature = concat(
      wireString(name),
      wireString(rawSignature(pair.privateKey, signed)),
      tail,
    )
    return encodeSshsig({ key: parseKeyBlob(blob), namespace, hash: 'sha512', signature })
  }
  return { line: `${name} ${toBase64(blob)}`, make }
}

function rawSignature(key: KeyObject, data: Uint8Array): Uint8Array {
  if (key.asymmetricKeyType === 'ed25519') return new Uint8Array(sign(null, data, key))
  const rs = new Uint8Array(sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }))
  return concat(wireMpint(rs.subarray(0, 32)), wireMpint(rs.subarray(32)))
}

describe.each(['ed25519', 'ecdsa'] as const)('FIDO2 sk-%s', (type) => {
  const key = skKey(type)
  const roster = `${principal} ${key.line}\n`
  const check = (signature: string) =>
    verifySshsig({
      signature,
      message,
      namespace,
      principal,
      roster: parseAllowedSigners(roster),
      at,
    })

  test('ssh-keygen and keyrite agree on a signature with user presence', () => {
    for (const flags of [0x01, 0x05]) {
      const signature = key.make(flags)
      expect(
        keygenVerify({ dir: work.dir, roster, principal, namespace, signature, message }),
      ).toBe(true)
      expect(check(signature).line).toBe(1)
    }
  })

  test('no user presence is refused (stricter than ssh-keygen)', async () => {
    expect(await thrown(() => check(key.make(0x00)))).toMatchObject({
      code: 'SIGNATURE_INVALID',
      got: 'no user presence',
    })
  })

  test('flags and counter are signed', async () => {
    const sig = decodeSshsig(key.make(0x01))
    for (const back of [1, 5]) {
      const signature = sig.signature.slice()
      signature[signature.length - back]! ^= 0x04
      const bad = encodeSshsig({ ...sig, signature })
      expect(await thrown(() => check(bad))).toMatchObject({ code: 'SIGNATURE_INVALID' })
      expect(
        keygenVerify({ dir: work.dir, roster, principal, namespace, signature: bad, message }),
      ).toBe(false)
    }
  })
})

describe('strict form', () => {
  const file = work.path('strict')
  keygen(file, 'ed25519')
  const good = keygenSign(file, namespace, message)
  const blobOf = (armored: string) =>
    new Uint8Array(Buffer.from(armored.split('\n').slice(1, -2).join(''), 'base64'))
  const armorOf = (blob: Uint8Array) =>
    `-----BEGIN SSH SIGNATURE-----\n${toBase64(blob)
      .match(/.{1,70}/g)!
      .join('\n')}\n-----END SSH SIGNATURE-----\n`
  const rebuilt = (
    change: Partial<Record<'version' | 'namespace' | 'reserved' | 'hash', string>>,
  ) => {
    const sig = decodeSshsig(good)
    return armorOf(
      concat(
        utf8('SSHSIG'),
        wireUint32(Number(change.version ?? 1)),
        wireString(sig.key.blob),
        wireString(change.namespace ?? namespace),
        wireString(change.reserved ?? ''),
        wireString(change.hash ?? 'sha512'),
        wireString(sig.signature),
      ),
    )
  }

  test('the rebuilt control is accepted', () => {
    expect(decodeSshsig(rebuilt({})).namespace).toBe(namespace)
  })

  test.each([
    ['text before', `x${good}`],
    ['text after', `${good}x`],
    ['two newlines at the end', `${good}\n`],
    ['carriage returns', good.replaceAll('\n', '\r\n')],
    ['a blank line', good.replace('\n', '\n\n')],
    [
      'one long line',
      `-----BEGIN SSH SIGNATURE-----\n${toBase64(blobOf(good))}\n-----END SSH SIGNATURE-----\n`,
    ],
    ['no footer', good.slice(0, -29)],
    ['trailing bytes', armorOf(concat(blobOf(good), Uint8Array.of(0)))],
    ['a missing byte', armorOf(blobOf(good).slice(0, -1))],
    ['version 2', rebuilt({ version: '2' })],
    ['an empty namespace', rebuilt({ namespace: '' })],
    ['a filled reserved field', rebuilt({ reserved: 'x' })],
    ['hash md5', rebuilt({ hash: 'md5' })],
    ['nothing', ''],
  ])('%s is refused', async (_, armored) => {
    expect(await thrown(() => decodeSshsig(armored))).toMatchObject({ code: 'FORMAT' })
  })
})

describe('keys that cannot be used', () => {
  const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })
  const x = new Uint8Array(Buffer.from(jwk.x!, 'base64url'))
  const ecdsaBlob = (point: Uint8Array, curve = 'nistp256') =>
    concat(wireString('ecdsa-sha2-nistp256'), wireString(curve), wireString(point))
  const off = concat(Uint8Array.of(4), x, x)

  test.each([
    ['a point off the curve', ecdsaBlob(off)],
    ['a compressed point', ecdsaBlob(concat(Uint8Array.of(2), x))],
    ['another curve than the type', ecdsaBlob(off, 'nistp384')],
    ['a short Ed25519 key', concat(wireString('ssh-ed25519'), wireString(x.subarray(1)))],
    [
      'RSA 1024',
      concat(
        wireString('ssh-rsa'),
        wireMpint(Uint8Array.of(1, 0, 1)),
        wireMpint(new Uint8Array(128).fill(255)),
      ),
    ],
    [
      'a padded mpint',
      concat(
        wireString('ssh-rsa'),
        wireString(Uint8Array.of(0, 1)),
        wireMpint(new Uint8Array(256).fill(255)),
      ),
    ],
    ['DSA', wireString('ssh-dss')],
    ['a certificate', wireString('ssh-ed25519-cert-v01@openssh.com')],
    ['a name of Object.prototype', wireString('constructor')],
    ['bytes after the key', concat(wireString('ssh-ed25519'), wireString(x), Uint8Array.of(0))],
  ])('%s', async (_, blob) => {
    expect(await thrown(() => parseKeyBlob(blob))).toMatchObject({ code: 'FORMAT' })
  })

  test('a signature under a nonsensical RSA key is wrong, not an accident', async () => {
    const even = concat(
      wireString('ssh-rsa'),
      wireMpint(Uint8Array.of(2)),
      wireMpint(new Uint8Array(256).fill(254)),
    )
    const signature = concat(wireString('rsa-sha2-512'), wireString(new Uint8Array(256).fill(1)))
    const sig: Sshsig = { key: parseKeyBlob(even), namespace, hash: 'sha512', signature }
    expect(await thrown(() => checkSshsig(sig, namespace, message))).toMatchObject({
      code: 'SIGNATURE_INVALID',
    })
  })

  test('an RSA signature with SHA-1 is refused', async () => {
    const file = work.path('sha1')
    const key = parsePublicKey(keygen(file, 'rsa', '', '2048'))
    const sig = decodeSshsig(keygenSign(file, namespace, message))
    const body = sig.signature.subarray(4 + 'rsa-sha2-512'.length)
    const old: Sshsig = { ...sig, key, signature: concat(wireString('ssh-rsa'), body) }
    expect(await thrown(() => checkSshsig(old, namespace, message))).toMatchObject({
      code: 'SIGNATURE_INVALID',
    })
  })
})
