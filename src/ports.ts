/**
 * The ports through which keys, randomness and time reach the algorithms.
 * An HSM key and a software key implement the same port.
 */

/** A block cipher under one key (AES: 16-byte blocks). */
export interface BlockCipher {
  /** Encrypts whole blocks in ECB fashion; `blocks.length` is a multiple of 16. */
  encryptBlocks(blocks: Uint8Array): Promise<Uint8Array>
}

/** Wraps and unwraps short secrets (RFC 3394 / RFC 5649). */
export interface KeyWrapper {
  wrap(secret: Uint8Array): Promise<Uint8Array>
  unwrap(wrapped: Uint8Array): Promise<Uint8Array>
}

/** Signature algorithms a log or a person may use. */
export type SignatureAlgorithm = 'ed25519' | 'ecdsa-p256-sha256'

/** A signing key. */
export interface Signer {
  readonly algorithm: SignatureAlgorithm
  /** SubjectPublicKeyInfo, DER (RFC 5280 §4.1.2.7). */
  readonly publicKey: Uint8Array
  /** Ed25519: 64 bytes (RFC 8032). P-256: ASN.1 DER ECDSA-Sig-Value over SHA-256 (RFC 3279 §2.2.3). */
  sign(message: Uint8Array): Promise<Uint8Array>
}

/** A source of random bytes. */
export interface Random {
  bytes(length: number): Promise<Uint8Array>
}

/** Wall clock and a clock that never steps back. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  wallMs(): number
  /** Milliseconds since an arbitrary start, monotonic. */
  monotonicMs(): number
}
