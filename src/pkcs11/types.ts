/** What the PKCS#11 layer offers to the layers above it. Sizes in bytes, ids as raw bytes. */
import type { BlockCipher, Random, Signer } from '../ports.ts'
import type { Approval } from '../types.ts'

/** C_GetInfo plus the identity of the file that was loaded. */
export interface ModuleInfo {
  readonly path: string
  /** SHA-256 (hex) of the module file. */
  readonly sha256: string
  readonly cryptokiVersion: string
  readonly manufacturerId: string
  readonly libraryDescription: string
  readonly libraryVersion: string
}

/** CK_TOKEN_INFO (PKCS#11 v2.40 §3.2), trimmed. */
export interface TokenInfo {
  readonly slotId: number
  readonly label: string
  readonly manufacturerId: string
  readonly model: string
  readonly serial: string
  readonly firmwareVersion: string
  readonly hardwareVersion: string
  /** Names of the CKF_* flags that are set. */
  readonly flags: readonly string[]
}

/** Names of key templates; `template.ts` holds the attributes and the reason for each. */
export type KeyRole =
  | 'fpe' // AES-ECB encrypt only
  | 'kek' // AES-KWP wrap/unwrap only (inner layer of the nested wrap)
  | 'kek-outer' // AES-GCM encrypt/decrypt only (outer layer of the nested wrap)
  | 'embedding-seed' // AES-CMAC only: the PRF that seeds the keys of encrypted embeddings
  | 'log-signer' // Ed25519, or P-256 where the token lacks EdDSA
  | 'approval' // a custodian's signing key on their own token

/**
 * `locked`: the final, non-extractable form. `birth`: extractable until {@link Token.lock} copies it
 * into the locked form; only for keys a plan declares to be distributed.
 */
export type KeyForm = 'locked' | 'birth'

/** What to create. */
export interface KeySpec {
  readonly role: KeyRole
  /** One that ends in `-revb` says that the key's bytes are in reverse order, as FF3-1 wants them. */
  readonly label: string
  /** CKA_ID. */
  readonly id: Uint8Array
  readonly form?: KeyForm
  /** false: a session object that dies with the login. Default true. */
  readonly onToken?: boolean
  /** false: an attribute the token would not honour destroys the key instead of being waived. Default true. */
  readonly allowWaivers?: boolean
}

/** An attribute of the role's template that a token would not give a key; the key exists without it. */
export interface Waiver {
  /** With `CKA_`. */
  readonly attribute: string
  readonly wanted: string
  /** What the token reports instead; `absent` where it does not know the attribute. */
  readonly got: string
}

/** Key check value: how it was computed and its hex digits (never of a secret shorter than the key). */
export interface Kcv {
  /** `cmac`: CMAC of a zero block; `kwp-probe`, `gcm-probe`: see `kcv.ts`; `spki-sha256`: public key. */
  readonly method: 'cmac' | 'kwp-probe' | 'gcm-probe' | 'spki-sha256'
  readonly value: string
}

/** Attribute values as read back: names without `CKA_`; byte strings as hex; absent ones left out. */
export type AttributeRecord = Readonly<
  Record<string, string | number | boolean | readonly string[]>
>

/** One object on a token, as an inventory lists it. Holds no secret value. */
export interface ObjectRecord {
  readonly class: 'secret-key' | 'private-key' | 'public-key' | 'certificate' | 'data' | 'other'
  readonly label: string
  /** Hex of CKA_ID. */
  readonly id: string
  readonly keyType?: string
  readonly attributes: AttributeRecord
}

/**
 * `single-part`: C_EncryptInit and C_Encrypt for each call. `multi-part`: one operation stays open for
 * C_EncryptUpdate, which saves every second round trip. `auto`: multi-part where a trial on the key succeeds
 * and the vendor is known to support it (`keyrite doctor` says which and why), else single-part.
 */
export type BlockOperation = 'auto' | 'single-part' | 'multi-part'

/** Options of {@link Key.blockCipher}. */
export interface BlockCipherOptions {
  /** Most AES blocks in one call of the module, 1 to 65,536. Default 1,024. */
  readonly chunkBlocks?: number
  /** Default `auto`. `multi-part` fails with MECHANISM_UNAVAILABLE where the trial does. */
  readonly operation?: BlockOperation
}

/** A key on a token. Re-found by id and KCV after a connection loss; holds no handle of its own. */
export interface Key {
  readonly label: string
  /** Hex of CKA_ID. */
  readonly id: string
  readonly class: 'secret-key' | 'private-key' | 'public-key'
  readonly keyType: string
  /** `pkcs11:` URI naming the key (RFC 7512), with token serial. */
  readonly uri: string
  /** What had to be waived when the key was created here; empty for keys that were found. */
  readonly waivers: readonly Waiver[]
  attributes(): Promise<AttributeRecord>
  kcv(): Promise<Kcv>
  /** AES-ECB block cipher; needs CKA_ENCRYPT. @throws TokenError ARGUMENT_INVALID. */
  blockCipher(options?: BlockCipherOptions): BlockCipher
  /**
   * AES-CMAC (SP 800-38B) of a message, 16 bytes, computed in the token; needs CKA_SIGN.
   * @throws Pkcs11Error for a key that may not; TokenError ARGUMENT_INVALID for a key that is no secret key.
   */
  cmac(message: Uint8Array): Promise<Uint8Array>
  /** For private keys. */
  signer(): Promise<Signer>
}

/** AES-GCM sealed bytes: 12-byte IV from the token's RNG, ciphertext with 16-byte tag appended. */
export interface GcmBox {
  readonly iv: Uint8Array
  readonly ciphertext: Uint8Array
}

/** A logged-in (or public) connection to one token. */
export interface Token extends AsyncDisposable {
  readonly info: TokenInfo
  readonly random: Random
  /** Increases whenever the connection was lost and re-established. */
  readonly epoch: number
  generate(spec: KeySpec): Promise<Key>
  /** Exactly one key, or throws KEY_NOT_FOUND / KEY_AMBIGUOUS. */
  key(uri: string): Promise<Key>
  /** All keys that match; empty if none. */
  find(query: { id?: Uint8Array; label?: string; class?: Key['class'] }): Promise<Key[]>
  /** Every visible object, sorted by class, label, id. */
  inventory(): Promise<ObjectRecord[]>
  /** C_WrapKey with the KWP mechanism found by known-answer probe (RFC 5649). */
  wrapKwp(kek: Key, key: Key): Promise<Uint8Array>
  /** C_UnwrapKey; read back, compare, tighten or destroy. */
  unwrapKwp(kek: Key, wrapped: Uint8Array, spec: KeySpec): Promise<Key>
  /** AES-GCM with a `kek-outer` key. */
  sealGcm(key: Key, plaintext: Uint8Array, aad: Uint8Array): Promise<GcmBox>
  openGcm(key: Key, box: GcmBox, aad: Uint8Array): Promise<Uint8Array>
  /** Copies a `birth` key into its `locked` form under `spec`, checks it, destroys the birth form. */
  lock(birth: Key, spec: KeySpec): Promise<Key>
  /**
   * Compares a key that was found with the template of its role, tightens it where the token allows, and
   * returns what is waived. Throws TEMPLATE_NOT_HONOURED; the key stays for the caller to judge.
   */
  conform(key: Key, spec: KeySpec): Promise<readonly Waiver[]>
  /** C_DestroyObject, then proves that the object is gone. */
  destroy(key: Key, approval: Approval): Promise<void>
  /** Destroys a session object, e.g. a restore test; refuses a key of the token (ARGUMENT_INVALID). */
  discard(key: Key): Promise<void>
  /** C_SetPIN for the logged-in user. PINs are not wiped here: the caller owns them. */
  setPin(oldPin: Uint8Array, newPin: Uint8Array): Promise<void>
  /** C_InitPIN; needs a `so` login. */
  initPin(pin: Uint8Array): Promise<void>
}

/** Options of {@link Hsm.login}. */
export interface LoginOptions {
  /** `null`: protected authentication path (PIN pad); the module asks. The caller owns and wipes it. */
  readonly pin: Uint8Array | null
  readonly user?: 'user' | 'so'
  /** Sessions kept for operations besides the login session. Default 4. */
  readonly maxSessions?: number
  /** How long an operation waits for a session. Default 10 000. */
  readonly waitTimeoutMs?: number
  /**
   * Asked for the PIN again when the ladder must re-login; without it such a loss is an error.
   * What it returns is wiped after use: return a copy. It must not use this module, which waits for it.
   */
  readonly pinAgain?: () => Promise<Uint8Array>
}

/** A loaded and initialised PKCS#11 module. */
export interface Hsm extends AsyncDisposable {
  readonly info: ModuleInfo
  /** Initialised tokens. */
  tokens(): Promise<TokenInfo[]>
  /** Slots with a token that is not initialised yet. */
  blankSlots(): Promise<number[]>
  /** C_InitToken, label padded; returns the token's new identity (slot ids change). */
  initToken(target: { slotId: number }, label: string, soPin: Uint8Array): Promise<TokenInfo>
  /** Names of the mechanisms of a token (`CKM_...`). */
  mechanisms(tokenUri: string): Promise<string[]>
  /** Logs in; throws Pkcs11Error CKR_PIN_INCORRECT, TokenError TOKEN_NOT_FOUND / TOKEN_AMBIGUOUS / ALREADY_LOGGED_IN. */
  login(tokenUri: string, options: LoginOptions): Promise<Token>
  /** A public session: no login. */
  open(tokenUri: string): Promise<Token>
}
