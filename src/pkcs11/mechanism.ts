/**
 * Typed mechanisms and the memory layout of their parameters.
 *
 * A parameter is a list of fields that the addon lays out as the C structure of the standard:
 * every field starts at a multiple of 8 bytes, as it does in every parameter structure used here
 * on 64-bit Unix (the standard packs structures on Windows only). No pointer ever comes from JavaScript.
 */
import { TokenError } from '../errors.ts'
import { CKD, CKG, CKZ } from './constants.ts'
import { CKM, mechanismName } from './constants-ckm.ts'

/** One member, or adjacent members, of a parameter structure. */
export type ParameterField =
  /** CK_ULONG, or a CK_BBOOL that the compiler pads to eight bytes. */
  | { readonly kind: 'ulong'; readonly value: number }
  /** A byte array inside the structure; its length is a multiple of 8 unless it is the only field. */
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }
  /** A pointer to bytes; null when the bytes are empty. Its length is a field of its own. */
  | { readonly kind: 'pointer'; readonly bytes: Uint8Array }
  /** A pointer to another structure. */
  | { readonly kind: 'struct'; readonly fields: readonly ParameterField[] }

/** A CK_MECHANISM. Make one with the functions of this file. */
export interface Mechanism {
  /** CKM_* number. */
  readonly type: number
  readonly name: string
  /** Empty: no parameter (NULL, 0). */
  readonly parameter: readonly ParameterField[]
}

const ulong = (value: number): ParameterField => ({ kind: 'ulong', value })
const inline = (bytes: Uint8Array): ParameterField => ({ kind: 'inline', bytes })
const pointer = (bytes: Uint8Array): ParameterField => ({ kind: 'pointer', bytes })

function refuse(where: string, expected: string, got: string): never {
  throw new TokenError('ARGUMENT_INVALID', `${where}: wrong mechanism parameter`, {
    where,
    expected,
    got,
  })
}

function checkNumber(value: number, where: string, min = 0, max = 0xffff_ffff): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    refuse(where, `integer ${min} to ${max}`, typeof value === 'number' ? `${value}` : typeof value)
  }
}

function checkBytes(value: Uint8Array, where: string, min = 0, max = 0x10_0000): void {
  if (!((value as unknown) instanceof Uint8Array) || value.length < min || value.length > max) {
    const got = (value as unknown) instanceof Uint8Array ? `${value.length} bytes` : typeof value
    refuse(where, min === max ? `${min} bytes` : `${min} to ${max} bytes`, got)
  }
}

const MADE = new WeakSet()

function make(type: number, ...parameter: ParameterField[]): Mechanism {
  const made = Object.freeze({ type, name: mechanismName(type), parameter })
  MADE.add(made)
  return made
}

/** Refuses what the functions of this file did not make: look-alikes were never checked. */
export function checkMechanism(value: Mechanism, where: string): Mechanism {
  if (typeof (value as unknown) === 'object' && (value as unknown) !== null && MADE.has(value)) {
    return value
  }
  return refuse(`${where} mechanism`, 'a mechanism made by mechanism.ts', typeof value)
}

/** A mechanism without a parameter, or with raw bytes (an IV, a counter block). */
export function mechanism(type: number, parameter?: Uint8Array): Mechanism {
  checkNumber(type, 'mechanism type')
  if (parameter === undefined) return make(type)
  checkBytes(parameter, mechanismName(type), 1)
  return make(type, inline(parameter))
}

/** A mechanism whose parameter is one CK_ULONG, e.g. the length of a `*_MAC_GENERAL`. */
export function mechanismWithNumber(type: number, value: number): Mechanism {
  checkNumber(type, 'mechanism type')
  checkNumber(value, mechanismName(type))
  return make(type, ulong(value))
}

/** Inputs of AES-GCM. */
export interface GcmParams {
  readonly iv: Uint8Array
  readonly aad: Uint8Array
  /** 96 to 128 in steps of 8 (NIST SP 800-38D §5.2.1.2 without the short tags). */
  readonly tagBits?: number
}

/** CK_GCM_PARAMS (PKCS#11 v3.2). ulIvBits is always set: modules that read it reject garbage. */
export function aesGcm({ iv, aad, tagBits = 128 }: GcmParams): Mechanism {
  checkBytes(iv, 'CKM_AES_GCM iv', 1, 256)
  checkBytes(aad, 'CKM_AES_GCM aad')
  checkNumber(tagBits, 'CKM_AES_GCM tagBits', 96, 128)
  if (tagBits % 8 !== 0) refuse('CKM_AES_GCM tagBits', 'a multiple of 8', `${tagBits}`)
  return make(
    CKM.AES_GCM,
    pointer(iv),
    ulong(iv.length),
    ulong(iv.length * 8),
    pointer(aad),
    ulong(aad.length),
    ulong(tagBits),
  )
}

/** Hash functions OAEP, PSS and ECDH-KDF mechanisms take. */
export type MechanismHash = 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512'

const HASHES: Readonly<
  Record<
    MechanismHash,
    { ckm: number; mgf: number; kdf: number; pss: number; ecdsa: number; bytes: number }
  >
> = {
  sha1: {
    ckm: CKM.SHA_1,
    mgf: CKG.MGF1_SHA1,
    kdf: CKD.SHA1_KDF,
    pss: CKM.SHA1_RSA_PKCS_PSS,
    ecdsa: CKM.ECDSA_SHA1,
    bytes: 20,
  },
  sha224: {
    ckm: CKM.SHA224,
    mgf: CKG.MGF1_SHA224,
    kdf: CKD.SHA224_KDF,
    pss: CKM.SHA224_RSA_PKCS_PSS,
    ecdsa: CKM.ECDSA_SHA224,
    bytes: 28,
  },
  sha256: {
    ckm: CKM.SHA256,
    mgf: CKG.MGF1_SHA256,
    kdf: CKD.SHA256_KDF,
    pss: CKM.SHA256_RSA_PKCS_PSS,
    ecdsa: CKM.ECDSA_SHA256,
    bytes: 32,
  },
  sha384: {
    ckm: CKM.SHA384,
    mgf: CKG.MGF1_SHA384,
    kdf: CKD.SHA384_KDF,
    pss: CKM.SHA384_RSA_PKCS_PSS,
    ecdsa: CKM.ECDSA_SHA384,
    bytes: 48,
  },
  sha512: {
    ckm: CKM.SHA512,
    mgf: CKG.MGF1_SHA512,
    kdf: CKD.SHA512_KDF,
    pss: CKM.SHA512_RSA_PKCS_PSS,
    ecdsa: CKM.ECDSA_SHA512,
    bytes: 64,
  },
}

function hashOf(hash: MechanismHash, where: string): (typeof HASHES)[MechanismHash] {
  if (!Object.hasOwn(HASHES, hash)) refuse(where, Object.keys(HASHES).join(', '), hash)
  return HASHES[hash]
}

/** Fields of CK_RSA_PKCS_OAEP_PARAMS (PKCS#11 v3.2). */
function oaepFields(hash: MechanismHash, label: Uint8Array): ParameterField[] {
  const { ckm, mgf } = hashOf(hash, 'CKM_RSA_PKCS_OAEP hash')
  checkBytes(label, 'CKM_RSA_PKCS_OAEP label')
  return [ulong(ckm), ulong(mgf), ulong(CKZ.DATA_SPECIFIED), pointer(label), ulong(label.length)]
}

/** RSA-OAEP; MGF1 uses the same hash. SoftHSM 2.6 takes SHA-1 without a label only. */
export const rsaOaep = (hash: MechanismHash, label: Uint8Array = new Uint8Array()): Mechanism =>
  make(CKM.RSA_PKCS_OAEP, ...oaepFields(hash, label))

/** RSA-PSS with hashing in the token; salt as long as the hash. CK_RSA_PKCS_PSS_PARAMS (PKCS#11 v3.2). */
export function rsaPss(hash: MechanismHash): Mechanism {
  const { ckm, mgf, pss, bytes } = hashOf(hash, 'CKM_RSA_PKCS_PSS hash')
  return make(pss, ulong(ckm), ulong(mgf), ulong(bytes))
}

/** ECDSA with hashing in the token. */
export const ecdsa = (hash: MechanismHash): Mechanism => make(hashOf(hash, 'CKM_ECDSA hash').ecdsa)

/** Inputs of CKM_EDDSA with CK_EDDSA_PARAMS. */
export interface EddsaParams {
  /** Ed25519ph / Ed448ph. */
  readonly prehash: boolean
  readonly context: Uint8Array
}

/** EdDSA; without `params` the parameter is NULL, which on Ed25519 keys means pure Ed25519 (v3.2, CKM_EDDSA). */
export function eddsa(params?: EddsaParams): Mechanism {
  if (params === undefined) return make(CKM.EDDSA)
  checkBytes(params.context, 'CKM_EDDSA context', 0, 255)
  return make(
    CKM.EDDSA,
    ulong(params.prehash ? 1 : 0),
    ulong(params.context.length),
    pointer(params.context),
  )
}

/** CK_ECDH1_DERIVE_PARAMS (PKCS#11 v3.2). `kdf` `null`: raw shared secret. */
export function ecdh1Derive(
  publicPoint: Uint8Array,
  kdf: MechanismHash | null,
  sharedInfo: Uint8Array = new Uint8Array(),
): Mechanism {
  checkBytes(publicPoint, 'CKM_ECDH1_DERIVE public point', 1, 1024)
  checkBytes(sharedInfo, 'CKM_ECDH1_DERIVE shared info')
  return make(
    CKM.ECDH1_DERIVE,
    ulong(kdf === null ? CKD.NULL : hashOf(kdf, 'CKM_ECDH1_DERIVE kdf').kdf),
    ulong(sharedInfo.length),
    pointer(sharedInfo),
    ulong(publicPoint.length),
    pointer(publicPoint),
  )
}

/** CK_AES_CBC_ENCRYPT_DATA_PARAMS (PKCS#11 v3.2): derive a key by encrypting `data`. */
export function aesCbcEncryptData(iv: Uint8Array, data: Uint8Array): Mechanism {
  checkBytes(iv, 'CKM_AES_CBC_ENCRYPT_DATA iv', 16, 16)
  checkBytes(data, 'CKM_AES_CBC_ENCRYPT_DATA data', 16, 4096)
  return make(CKM.AES_CBC_ENCRYPT_DATA, inline(iv), pointer(data), ulong(data.length))
}

/** CK_KEY_DERIVATION_STRING_DATA (PKCS#11 v3.2): derive a key by AES-ECB encrypting `data`. */
export function aesEcbEncryptData(data: Uint8Array): Mechanism {
  checkBytes(data, 'CKM_AES_ECB_ENCRYPT_DATA data', 16, 4096)
  return make(CKM.AES_ECB_ENCRYPT_DATA, pointer(data), ulong(data.length))
}

/** CK_AES_CTR_PARAMS (PKCS#11 v3.2): counter width in bits and the initial 16-byte block. */
export function aesCtr(counterBits: number, block: Uint8Array): Mechanism {
  checkNumber(counterBits, 'CKM_AES_CTR counterBits', 1, 128)
  checkBytes(block, 'CKM_AES_CTR block', 16, 16)
  return make(CKM.AES_CTR, ulong(counterBits), inline(block))
}

/** CK_RSA_AES_KEY_WRAP_PARAMS (PKCS#11 v3.2): OAEP-wrapped one-time AES key, then KWP. */
export function rsaAesKeyWrap(
  aesBits: 128 | 192 | 256,
  hash: MechanismHash,
  label: Uint8Array = new Uint8Array(),
): Mechanism {
  if (![128, 192, 256].includes(aesBits)) {
    refuse('CKM_RSA_AES_KEY_WRAP aesBits', '128, 192 or 256', `${aesBits as number}`)
  }
  return make(CKM.RSA_AES_KEY_WRAP, ulong(aesBits), {
    kind: 'struct',
    fields: oaepFields(hash, label),
  })
}
