/**
 * The nested wrap: AES-KWP (RFC 5649, SP 800-38F) under a KEK of token A, then AES-256-GCM (SP 800-38D)
 * under a KEK of token B. Neither token alone recovers the key. The additional authenticated data binds
 * the blob to the plan that made it and to the key it holds.
 */
import * as z from 'zod'

import { canonicalJson } from '../canonical.ts'
import { fromBase64, toBase64, utf8, wipe } from '../bytes.ts'
import { FormatError, TokenError } from '../errors.ts'
import type { Kcv, Key, KeySpec, Token } from '../pkcs11/index.ts'

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))
const kcv = z.strictObject({
  method: z.enum(['cmac', 'kwp-probe', 'gcm-probe', 'spki-sha256']),
  value: z.string(),
})
const kekReference = z.strictObject({
  label: z.string(),
  id: hex(16),
  tokenSerial: z.string(),
  kcv,
})

/** What the outer layer authenticates. */
const bound = z.strictObject({
  planSha256: hex(32),
  key: z.strictObject({ label: z.string(), id: hex(16), role: z.string(), kcv }),
})

const blobSchema = z.strictObject({
  format: z.literal('keyrite-nested-wrap/1'),
  bound,
  inner: z.strictObject({ algorithm: z.literal('A256KWP'), kek: kekReference }),
  outer: z.strictObject({ algorithm: z.literal('A256GCM'), kek: kekReference }),
  iv: z.string(),
  ciphertext: z.string(),
})

/** A wrapped key as it is written to a file: JSON without any secret in clear. */
export type NestedBlob = z.infer<typeof blobSchema>

/** A KEK and the token it lives on. */
export interface KekOnToken {
  readonly token: Token
  readonly key: Key
}

async function reference({ token, key }: KekOnToken): Promise<z.infer<typeof kekReference>> {
  const { method, value } = await key.kcv()
  return { label: key.label, id: key.id, tokenSerial: token.info.serial, kcv: { method, value } }
}

/** Wraps `key` (on the inner KEK's token). Throws Pkcs11Error when the token does not let it go. */
export async function wrapNested(
  key: Key,
  role: string,
  inner: KekOnToken,
  outer: KekOnToken,
  planSha256: string,
): Promise<NestedBlob> {
  const { method, value } = await key.kcv()
  const aad = { planSha256, key: { label: key.label, id: key.id, role, kcv: { method, value } } }
  const wrapped = await inner.token.wrapKwp(inner.key, key)
  try {
    const box = await outer.token.sealGcm(outer.key, wrapped, utf8(canonicalJson(aad)))
    return {
      format: 'keyrite-nested-wrap/1',
      bound: aad,
      inner: { algorithm: 'A256KWP', kek: await reference(inner) },
      outer: { algorithm: 'A256GCM', kek: await reference(outer) },
      iv: toBase64(box.iv),
      ciphertext: toBase64(box.ciphertext),
    }
  } finally {
    wipe(wrapped)
  }
}

/** The file form: canonical JSON and a newline. */
export const formatNestedBlob = (blob: NestedBlob): string => `${canonicalJson(blob)}\n`

/** Strict inverse of {@link formatNestedBlob}; throws FormatError. */
export function parseNestedBlob(text: string, where: string): NestedBlob {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new FormatError('wrapped key is not JSON', { where })
  }
  const parsed = blobSchema.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new FormatError('not a wrapped key file', {
      where: issue ? `${where}: ${issue.path.join('.')}` : where,
      expected: 'keyrite-nested-wrap/1',
      ...(issue ? { got: issue.message } : {}),
    })
  }
  return parsed.data
}

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
    const got: Kcv = await key.kcv()
    const want = blob.bound.key.kcv
    if (got.method !== want.method || got.value !== want.value) {
      throw new TokenError('KEY_CHANGED', 'the unwrapped key is not the key that was wrapped', {
        where: key.uri,
        expected: `${want.method} ${want.value}`,
        got: `${got.method} ${got.value}`,
      })
    }
    return key
  } finally {
    wipe(wrapped)
  }
}
