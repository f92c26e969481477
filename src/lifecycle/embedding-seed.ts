/**
 * The seed of encrypted embeddings. Its root is an AES-256 key that a token's RNG made in a ceremony, that
 * makes AES-CMACs and nothing else (role `embedding-seed`), and that lies outside only as a wrapped file.
 * A service unwraps it into a session object, lets the token compute the seed from it, and destroys the
 * object. So KEKs keep their UNWRAP_TEMPLATE (nothing they unwrap can be read), and tokens that know no
 * readable key objects can be used. Evidence: the file at rest is crypto-verified, the session object's
 * secrecy hsm-enforced; the seed that comes out is in this process's memory, software-enforced.
 *
 * Derivation: the KDF in counter mode of NIST SP 800-108r1 §4.1 with AES-256-CMAC (SP 800-38B) as PRF.
 */
import { randomBytes } from 'node:crypto'

import { concat, fromHex, secretBytes, utf8, wipe } from '../bytes.ts'
import { EmbeddingError, FormatError, TokenError } from '../errors.ts'
import type { Kcv, Key, Token } from '../pkcs11/index.ts'
import { type KekOnToken } from './wrap-schema.ts'
import { type WrappedKey, isNested, parseWrappedKey, unwrapKeyBlob } from './wrapped-key.ts'

/** Bytes of a seed. */
export const SEED_BYTES = 32
const LABEL = utf8('keyrite-he/1 seed')
const EPOCH_NAME = /^[a-z0-9]+(?:-[a-z0-9]+)*-epoch-([1-9][0-9]{0,8})$/

/**
 * The epoch that the name of an embedding seed ends with (`embeddings-epoch-2`: 2); undefined for other
 * names. The name goes into the derivation, so no file can be passed off as one of another epoch.
 */
export function epochOf(name: string): number | undefined {
  const digits = EPOCH_NAME.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

const uint32 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

/**
 * The 32 bytes that `key` and its name stand for; the caller wipes them.
 * SP 800-108r1 §4.1, r = 32: K(i) = PRF(K, [i] || Label || 0x00 || Context || [L]), Context = the key's
 * name, L = 256 bits, so i = 1, 2.
 */
export async function deriveSeed(key: Pick<Key, 'cmac'>, name: string): Promise<Uint8Array> {
  const seed = secretBytes(SEED_BYTES)
  const fixed = concat(LABEL, Uint8Array.of(0), utf8(name), uint32(SEED_BYTES * 8))
  try {
    for (let at = 0, i = 1; at < SEED_BYTES; i += 1) {
      const block = await key.cmac(concat(uint32(i), fixed))
      seed.set(block, at)
      at += block.length
      wipe(block)
    }
    return seed
  } catch (error) {
    wipe(seed)
    throw error
  }
}

/** What a file says about itself, before any token has confirmed it. */
export interface SeedFile {
  readonly name: string
  readonly epoch: number
  /** Serial of the token with the KEK of the inner layer. */
  readonly innerSerial: string
  /** Serial of the second token, of the nested wrap. */
  readonly outerSerial?: string
}

function seedBlob(text: string, where: string): { blob: WrappedKey; file: SeedFile } {
  const blob = parseWrappedKey(text, where)
  const { label: name, role } = blob.bound.key
  const epoch = epochOf(name)
  if (role !== 'embedding-seed' || epoch === undefined) {
    throw new FormatError('the wrapped key is not an embedding seed', {
      where,
      expected: 'role embedding-seed, a name that ends in -epoch-N',
      got: `role ${role}, name ${name}`,
    })
  }
  const serials = {
    innerSerial: blob.inner.kek.tokenSerial,
    ...(isNested(blob) ? { outerSerial: blob.outer.kek.tokenSerial } : {}),
  }
  return { blob, file: { name, epoch, ...serials } }
}

/** Reads a seed file without opening it. @throws FormatError. */
export const describeSeedFile = (text: string, where: string): SeedFile =>
  seedBlob(text, where).file

type KekReference = WrappedKey['inner']['kek']

const sameKcv = (a: Kcv, b: Kcv): boolean => a.method === b.method && a.value === b.value

/** The check value, or undefined for a key that allows none and so is no KEK. */
async function kcvIfAny(key: Key): Promise<Kcv | undefined> {
  try {
    return await key.kcv()
  } catch (error) {
    if (error instanceof TokenError && error.code === 'MECHANISM_UNAVAILABLE') return undefined
    throw error
  }
}

/** The KEK that a file names, on `token`: by id, else by label (a restored token may differ in ids). */
async function findKek(token: Token, wanted: KekReference, where: string): Promise<KekOnToken> {
  const named = { class: 'secret-key' } as const
  const byId = await token.find({ ...named, id: fromHex(wanted.id) })
  const found = byId.length > 0 ? byId : await token.find({ ...named, label: wanted.label })
  const { label, serial } = token.info
  if (found.length === 0) {
    throw new TokenError('KEY_NOT_FOUND', 'the wrapping key of the seed is not on this token', {
      where,
      expected: `${wanted.label} (CKA_ID ${wanted.id}), made on token ${wanted.tokenSerial}`,
      got: `token ${label}, serial ${serial}`,
      hint: 'is this the right token?',
    })
  }
  for (const key of found) {
    const kcv = await kcvIfAny(key)
    if (kcv !== undefined && sameKcv(kcv, wanted.kcv)) return { token, key }
  }
  throw new EmbeddingError('KEY_MISMATCH', 'the seed was wrapped under another key', {
    where,
    expected: `${wanted.label} with check value ${wanted.kcv.method} ${wanted.kcv.value}`,
    got: `another key of that name on token ${label}, serial ${serial}`,
  })
}

/** Logged-in tokens that hold the KEKs; `outer` for the nested wrap. */
export interface SeedTokens {
  readonly inner: Token
  readonly outer?: Token
}

/** A seed of an epoch. */
export interface OpenedSeed {
  readonly epoch: number
  /** Name the ceremony gave it. */
  readonly name: string
  /** Check value of the key it comes from: the one of the transcript. */
  readonly kcv: Kcv
  /** 32 bytes; the caller wipes them. */
  readonly seed: Uint8Array
}

/**
 * Opens a seed file. Fails closed: without an error everything the file says has been confirmed by the
 * tokens. Nothing stays on the tokens, also after an error.
 * @param text - the file's content; `where` names it in errors
 * @throws FormatError for what is no seed file; EmbeddingError KEY_MISMATCH for another KEK or another epoch
 * than `expect.epoch`; TokenError KEY_NOT_FOUND where the token has no such KEK, KEY_CHANGED for a changed
 * file, ARGUMENT_INVALID without the second token of a nested wrap; Pkcs11Error when a layer does not open.
 */
export async function openSeed(
  text: string,
  where: string,
  tokens: SeedTokens,
  expect: { readonly epoch?: number } = {},
): Promise<OpenedSeed> {
  const { blob, file } = seedBlob(text, where)
  const { name, epoch } = file
  if (expect.epoch !== undefined && expect.epoch !== epoch) {
    throw new EmbeddingError('KEY_MISMATCH', 'the seed is of another epoch', {
      where,
      expected: `epoch ${expect.epoch}`,
      got: `epoch ${epoch}`,
    })
  }
  const inner = await findKek(tokens.inner, blob.inner.kek, where)
  const outer =
    isNested(blob) && tokens.outer !== undefined
      ? { outer: await findKek(tokens.outer, blob.outer.kek, where) }
      : {}
  const key = await unwrapKeyBlob(
    blob,
    { inner, ...outer },
    {
      role: 'embedding-seed',
      label: `${name} opened`,
      id: new Uint8Array(randomBytes(16)),
      onToken: false,
    },
  )
  let seed: Uint8Array | undefined
  try {
    seed = await deriveSeed(key, name)
  } finally {
    await discard(tokens.inner, key, seed)
  }
  return { epoch, name, kcv: blob.bound.key.kcv, seed }
}

/** Destroys the session object; a seed whose key could not be destroyed is not handed out. */
async function discard(token: Token, key: Key, seed: Uint8Array | undefined): Promise<void> {
  try {
    await token.discard(key)
  } catch (error) {
    wipe(seed)
    throw error
  }
}
