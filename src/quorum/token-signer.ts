/** SSHSIG by any key behind the `Signer` port, e.g. a custodian's own PKCS#11 token. */
import { createPublicKey } from 'node:crypto'

import { concat } from '../bytes.ts'
import { FormatError, QuorumError } from '../errors.ts'
import type { Signer } from '../ports.ts'

import { formatPublicKey, parseKeyBlob, type SshPublicKey } from './ssh-key.ts'
import { wireMpint, wireString } from './ssh-wire.ts'
import { checkSshsig, encodeSshsig, type Sshsig, sshsigSignedData } from './sshsig.ts'
import type { SshSigner } from './types.ts'

const SEQUENCE = 0x30
const INTEGER = 0x02

/** The SSH form of a signer's public key; throws FormatError when the SPKI is not of the signer's algorithm. */
export function sshKeyOf(signer: Pick<Signer, 'algorithm' | 'publicKey'>): SshPublicKey {
  const refuse = (got: string): never => {
    throw new FormatError('public key does not fit the algorithm', {
      where: 'signer public key',
      expected: signer.algorithm,
      got,
    })
  }
  const bytes = (base64url = ''): Uint8Array => new Uint8Array(Buffer.from(base64url, 'base64url'))
  let jwk
  try {
    const der = Buffer.from(signer.publicKey)
    jwk = createPublicKey({ key: der, format: 'der', type: 'spki' }).export({ format: 'jwk' })
  } catch {
    return refuse('bytes that are not a SubjectPublicKeyInfo')
  }
  if (signer.algorithm === 'ed25519' && jwk.crv === 'Ed25519') {
    return parseKeyBlob(concat(wireString('ssh-ed25519'), wireString(bytes(jwk.x))))
  }
  if (signer.algorithm === 'ecdsa-p256-sha256' && jwk.crv === 'P-256') {
    // RFC 5656 §3.1; SEC 1 §2.3.3: uncompressed point = 04 || x || y
    const point = concat(Uint8Array.of(4), bytes(jwk.x), bytes(jwk.y))
    const head = concat(wireString('ecdsa-sha2-nistp256'), wireString('nistp256'))
    return parseKeyBlob(concat(head, wireString(point)))
  }
  return refuse(jwk.crv ?? jwk.kty ?? 'another key')
}

/** The line for `allowed_signers` or a `.pub` file, without principal and comment. */
export const sshPublicKey = (signer: Pick<Signer, 'algorithm' | 'publicKey'>): string =>
  formatPublicKey(sshKeyOf(signer))

/** The two INTEGERs of an ECDSA-Sig-Value (RFC 3279 §2.2.3), DER with short lengths only: 72 bytes at most. */
function ecdsaIntegers(der: Uint8Array): [Uint8Array, Uint8Array] {
  const fail = (): never => {
    throw new FormatError('not a DER ECDSA signature', { where: 'token signature' })
  }
  const [tag, length = 0] = der
  if (tag !== SEQUENCE || length > 127 || length !== der.length - 2) fail()
  const integer = (at: number): Uint8Array => {
    const size = der[at + 1] ?? 0
    const value = der.subarray(at + 2, at + 2 + size)
    if (der[at] !== INTEGER || size === 0 || value.length !== size) fail()
    if ((value[0] ?? 0) > 127) fail()
    return value
  }
  const r = integer(2)
  const s = integer(4 + r.length)
  return 6 + r.length + s.length === der.length ? [r, s] : fail()
}

/** The SSH signature blob of a raw signature of the port. */
function signatureBlob(signer: Signer, raw: Uint8Array): Uint8Array {
  if (signer.algorithm === 'ed25519') return concat(wireString('ssh-ed25519'), wireString(raw))
  const [r, s] = ecdsaIntegers(raw)
  const inner = concat(wireMpint(r), wireMpint(s))
  return concat(wireString('ecdsa-sha2-nistp256'), wireString(inner))
}

/** Armor of a signature that was checked here first: no device is believed. Throws QuorumError SIGNING_FAILED. */
export function checkedArmor(sig: Sshsig, message: Uint8Array, who: string): string {
  try {
    checkSshsig(sig, sig.namespace, message)
  } catch (cause) {
    throw new QuorumError('SIGNING_FAILED', `the key of ${who} made a signature that is wrong`, {
      where: sig.key.fingerprint,
      expected: 'a signature that verifies under the public key',
      cause,
    })
  }
  return encodeSshsig(sig)
}

/**
 * Signs with a `Signer`. `sign` throws QuorumError SIGNING_FAILED when the device gives a signature that does not
 * verify, and passes the device's own errors on.
 */
export function tokenSigner(principal: string, signer: Signer): SshSigner {
  const key = sshKeyOf(signer)
  return {
    principal,
    async sign(namespace, message) {
      const raw = await signer.sign(sshsigSignedData(namespace, 'sha512', message))
      const sig: Sshsig = { key, namespace, hash: 'sha512', signature: signatureBlob(signer, raw) }
      return checkedArmor(sig, message, principal)
    },
  }
}
