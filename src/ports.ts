/**
 * The ports through which keys, randomness and time reach the algorithms.
 * An HSM key and a software key implement the same port.
 */

/** A block cipher under one key (AES: 16-byte blocks). */
export interface BlockCipher {
  /** Encrypts whole blocks in ECB fashion; `blocks.length` is a positive multiple of 16. */
  encryptBlocks(blocks: Uint8Array): Promise<Uint8Array>
  /** Most blocks worth sending in one call; default 1,024. */
  readonly chunkBlocks?: number
  /** The key's bytes are in reverse order: this is AES under REVB(K), as FF3-1 wants it (SP 800-38G §5.2). */
  readonly reversedKey?: boolean
  /**
   * Runs whole batches of rounds in native code beside the key, off the event loop; absent: the caller
   * runs the rounds itself over {@link BlockCipher.encryptBlocks}. Both give the same results.
   * Rejects without having written an output that can be taken for a result; the inputs stay as they are.
   * @throws FpeError SYMBOL_INVALID with the record's index over all groups, ABORTED; what `encryptBlocks` throws.
   */
  readonly feistel?: (batch: FeistelBatch) => Promise<void>
}

/** Records of one radix, length and tweak length, in the form native code reads. */
export interface FeistelGroup {
  /** 2 to 65,536. */
  readonly radix: number
  /** Symbols per record. NUM of a half must fit 96 bits: {@link NATIVE_HALF_BITS}. */
  readonly length: number
  readonly count: number
  /**
   * `count * length` symbols: numerals as Uint8Array (radix up to 256) or Uint16Array, or with
   * `characters` ASCII characters as Uint8Array. Owned by the batch until it is done.
   */
  readonly input: Uint8Array | Uint16Array
  /** As `input`: the same memory, or memory apart from it. Written only when the rounds are done. */
  readonly output: Uint8Array | Uint16Array
  /** Bytes per tweak. */
  readonly tweakLength: number
  /** One tweak for all records, or one each: `tweakLength` bytes (shared, also for one record) or `count * tweakLength`. */
  readonly tweaks: Uint8Array
  /**
   * FF1: the 16-byte CBC-MAC state (SP 800-38G Alg. 6) after P and, where one tweak is shared, after the
   * blocks of Q that do not vary by round. FF3-1: empty.
   */
  readonly prefix: Uint8Array
  /** An ASCII alphabet as runs of consecutive characters: (first character, first numeral, how many) each. */
  readonly characters?: Uint8Array
}

/** What {@link BlockCipher.feistel} runs. Records of all groups share the calls. */
export interface FeistelBatch {
  readonly method: 'FF1' | 'FF3-1'
  readonly direction: 'encrypt' | 'decrypt'
  readonly groups: readonly FeistelGroup[]
  readonly signal?: AbortSignal | undefined
}

/** Largest half native code takes: b is at most 12 then, so that one AES block holds all of S (SP 800-38G Alg. 7 step 4). */
export const NATIVE_HALF_BITS = 96

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
