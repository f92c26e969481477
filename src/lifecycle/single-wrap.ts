/**
 * The single wrap: AES-KWP (RFC 5649, SP 800-38F) under one KEK. Whoever opens the KEK's token opens the
 * file, so it is for embedding seeds only, which a service must open where it runs. RFC 5649 has no
 * additional authenticated data: an AES-CMAC (SP 800-38B) under the wrapped key itself, computed in the
 * token, binds the file to the plan that made it and to the name of the key.
 */
import * as z from 'zod'

import { canonicalJson } from '../canonical.ts'
import { equal, fromBase64, toBase64, utf8 } from '../bytes.ts'
import { TokenError } from '../errors.ts'
import type { Key, KeySpec } from '../pkcs11/index.ts'
import {
  type KekOnToken,
  assertRestored,
  bindingOf,
  boundTo,
  formatWrap,
  kekReference,
  parseWrap,
  referenceTo,
} from './wrap-schema.ts'

/** The format's name and version. */
export const SINGLE_FORMAT = 'keyrite-wrap/1'

const blobSchema = z.strictObject({
  format: z.literal(SINGLE_FORMAT),
  bound: boundTo(z.literal('embedding-seed')),
  inner: z.strictObject({ algorithm: z.literal('A256KWP'), kek: kekReference }),
  ciphertext: z.string(),
  /** AES-CMAC under the wrapped key. */
  mac: z.string(),
})

/** A wrapped embedding seed as it is written to a file. */
export type SingleBlob = z.infer<typeof blobSchema>

/**
 * What the MAC covers. It begins with a letter, the inputs of the KDF and of the check value (see
 * `embedding-seed.ts`) with a zero byte: no MAC of a file is ever a piece of a seed.
 */
const maced = ({ format, bound, inner }: Pick<SingleBlob, 'format' | 'bound' | 'inner'>) =>
  utf8(`${format}\n${canonicalJson({ bound, inner })}`)

/** Wraps `key` (on the KEK's token). Throws Pkcs11Error when the token does not let it go, or it makes no MAC. */
export async function wrapSingle(
  key: Key,
  inner: KekOnToken,
  planSha256: string,
): Promise<SingleBlob> {
  const head = {
    format: SINGLE_FORMAT,
    bound: await bindingOf(key, 'embedding-seed', planSha256),
    inner: { algorithm: 'A256KWP', kek: await referenceTo(inner) },
  } as const
  const mac = await key.cmac(maced(head))
  const ciphertext = await inner.token.wrapKwp(inner.key, key)
  return { ...head, ciphertext: toBase64(ciphertext), mac: toBase64(mac) }
}

/** The file form: canonical JSON and a newline. */
export const formatSingleBlob = (blob: SingleBlob): string => formatWrap(blob)

/** Strict inverse of {@link formatSingleBlob}; throws FormatError. */
export const parseSingleBlob = (text: string, where: string): SingleBlob =>
  parseWrap(blobSchema, SINGLE_FORMAT, text, where)

/**
 * Unwraps under `spec`, then compares check value and MAC. Throws Pkcs11Error when the KEK does not open
 * it, KEY_CHANGED when the file says something else than when it was made.
 */
export async function unwrapSingle(
  blob: SingleBlob,
  inner: KekOnToken,
  spec: KeySpec,
): Promise<Key> {
  const mac = fromBase64(blob.mac, 'mac')
  const wrapped = fromBase64(blob.ciphertext, 'ciphertext')
  const key = await inner.token.unwrapKwp(inner.key, wrapped, spec)
  return assertRestored(inner.token, key, spec, blob.bound.key.kcv, async () => {
    if (equal(mac, await key.cmac(maced(blob)))) return
    throw new TokenError('KEY_CHANGED', 'the file was changed since the key was wrapped', {
      where: `${blob.bound.key.label}: mac`,
      expected: 'plan, name and KEK as the ceremony wrote them',
    })
  })
}
