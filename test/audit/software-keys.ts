/** Software keys behind the Signer port. */
import { type KeyObject, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto'

import { type NoteSigner, noteVerifier } from '../../src/note.ts'
import type { Clock, SignatureAlgorithm, Signer } from '../../src/ports.ts'

export const ORIGIN = 'keyrite.example/audit/test'

/** A signer over a private key. */
export function signerOf(privateKey: KeyObject, publicKey: KeyObject): Signer {
  const algorithm: SignatureAlgorithm =
    privateKey.asymmetricKeyType === 'ed25519' ? 'ed25519' : 'ecdsa-p256-sha256'
  return {
    algorithm,
    publicKey: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })),
    sign: (message) =>
      Promise.resolve(
        new Uint8Array(sign(algorithm === 'ed25519' ? null : 'sha256', message, privateKey)),
      ),
  }
}

/** A fresh key under a name, with its verifier and its files' contents. */
export function freshKey(name = ORIGIN, algorithm: SignatureAlgorithm = 'ed25519') {
  const { publicKey, privateKey } =
    algorithm === 'ed25519'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signer = signerOf(privateKey, publicKey)
  const noteSigner: NoteSigner = { name, signer }
  return {
    ...noteSigner,
    noteSigner,
    verifier: noteVerifier(name, algorithm, signer.publicKey),
    pem: publicKey.export({ type: 'spki', format: 'pem' }),
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  }
}

/** The signer of a PKCS#8 PEM text, for child processes. */
export function signerOfPem(pem: string): Signer {
  const privateKey = createPrivateKey(pem)
  const jwk = privateKey.export({ format: 'jwk' })
  const publicKey = Buffer.concat([
    Buffer.from('302a300506032b6570032100', 'hex'),
    Buffer.from(jwk.x ?? '', 'base64url'),
  ])
  return {
    algorithm: 'ed25519',
    publicKey: new Uint8Array(publicKey),
    sign: (message) => Promise.resolve(new Uint8Array(sign(null, message, privateKey))),
  }
}

/** A clock that stands still unless it is moved. */
export function fixedClock(startMs = Date.UTC(2026, 0, 2, 3, 4, 5, 6)): Clock & { nowMs: number } {
  const clock = { nowMs: startMs, wallMs: () => clock.nowMs, monotonicMs: () => clock.nowMs }
  return clock
}
