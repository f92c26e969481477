/**
 * The nested wrap: AES-KWP (RFC 5649, SP 800-38F) under a KEK of token A, then AES-256-GCM (SP 800-38D)
 * under a KEK of token B. Neither token alone recovers the key. The additional authenticated data binds
 * the blob to the plan that made it and to the key it holds.
 */
import * as z from 'zod'

import { canonicalJson } from '../canonical.ts'
import { fromBase64, toBase64, utf8, wipe } from '../bytes.ts'
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
export const NESTED_FORMAT = 'keyrite-nested-wrap/1'

const blobSchema = z.strictObject({
  format: z.literal(NESTED_FORMAT),
  /** What the outer layer authenticates. */
  bound: boundTo(z.string()),
  inner: z.strictObject({ algorithm: z.literal('A256KWP'), kek: kekReference }),
  outer: z.strictObject({ algorithm: z.literal('A256GCM'), kek: kekReference }),
  iv: z.string(),
  ciphertext: z.string(),
})

/** A wrapped key as it is written to a file: JSON without any secret in clear. */
export type NestedBlob = z.infer<typeof blobSchema>

/** Wraps `key` (on the inner KEK's token). Throws Pkcs11Error when the token does not let it go. */
export async function wrapNested(
  key: Key,
  role: string,
  inner: KekOnToken,
  outer: KekOnToken,
  planSha256: string,
): Promise<NestedBlob> {
  const bound = await bindingOf(key, role, planSha256)
  const wrapped = await inner.token.wrapKwp(inner.key, key)
  try {
    const box = await outer.token.sealGcm(outer.key, wrapped, utf8(canonicalJson(bound)))
    return {
      format: NESTED_FORMAT,
      bound,
      inner: { algorithm: 'A256KWP', kek: await referenceTo(inner) },
      outer: { algorithm: 'A256GCM', kek: await referenceTo(outer) },
      iv: toBase64(box.iv),
      ciphertext: toBase64(box.ciphertext),
    }
  } finally {
    wipe(wrapped)
  }
}

/** The file form: canonical JSON and a newline. */
export const formatNestedBlob = (blob: NestedBlob): string => formatWrap(blob)

/** Strict inverse of {@link formatNestedBlob}; throws FormatError. */
export const parseNestedBlob = (text: string, where: string): NestedBlob =>
  parseWrap(blobSchema, NESTED_FORMAT, text, where)

/**
 * Opens both layers and creates the key under `spec` on the inner KEK's token; compares its KCV with the
 * one the blob is bound to. Throws Pkcs11Error when a layer does not open, KEY_CHANGED on another KCV.
 */
export async function unwrapNested(
  blob: NestedBlob,
  inner: KekOnToken,
  outer: KekOnToken,
  spec: KeySpec,
): Promise<Key> {
  const box = {
    iv: fromBase64(blob.iv, 'iv'),
    ciphertext: fromBase64(blob.ciphertext, 'ciphertext'),
  }
  const wrapped = await outer.token.openGcm(outer.key, box, utf8(canonicalJson(blob.bound)))
  try {
    const key = await inner.token.unwrapKwp(inner.key, wrapped, spec)
    return await assertRestored(inner.token, key, spec, blob.bound.key.kcv)
  } finally {
    wipe(wrapped)
  }
}
