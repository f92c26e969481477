/** What every file with a wrapped key says: which key it holds, for which plan, under which KEK. */
import * as z from 'zod'

import { canonicalJson } from '../canonical.ts'
import { FormatError, TokenError } from '../errors.ts'
import type { Kcv, Key, KeySpec, Token } from '../pkcs11/index.ts'
import type { Json } from '../types.ts'

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))
const kcv = z.strictObject({
  method: z.enum(['cmac', 'kwp-probe', 'gcm-probe', 'spki-sha256']),
  value: z.string(),
})

/** A KEK as a file names it. */
export const kekReference = z.strictObject({
  label: z.string(),
  id: hex(16),
  tokenSerial: z.string(),
  kcv,
})

/** What is authenticated beside the wrapped bytes: the plan that made the file, and the key in it. */
export const boundTo = <Role extends z.ZodType<string>>(role: Role) =>
  z.strictObject({
    planSha256: hex(32),
    key: z.strictObject({ label: z.string(), id: hex(16), role, kcv }),
  })

/** A KEK and the token it lives on. */
export interface KekOnToken {
  readonly token: Token
  readonly key: Key
}

/** The KEK as the file will name it. */
export async function referenceTo({
  token,
  key,
}: KekOnToken): Promise<z.infer<typeof kekReference>> {
  const { method, value } = await key.kcv()
  return { label: key.label, id: key.id, tokenSerial: token.info.serial, kcv: { method, value } }
}

/** What a file about `key` is bound to. */
export async function bindingOf<Role extends string>(key: Key, role: Role, planSha256: string) {
  const { method, value } = await key.kcv()
  return { planSha256, key: { label: key.label, id: key.id, role, kcv: { method, value } } }
}

/** The file form: canonical JSON (RFC 8785) and a newline. */
export const formatWrap = (blob: Json): string => `${canonicalJson(blob)}\n`

/** Strict inverse of {@link formatWrap}. @throws FormatError. */
export function parseWrap<T>(
  schema: z.ZodType<T>,
  expected: string,
  text: string,
  where: string,
): T {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new FormatError('wrapped key is not JSON', { where })
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new FormatError('not a wrapped key file', {
    where: issue ? `${where}: ${issue.path.join('.')}` : where,
    expected,
    ...(issue ? { got: issue.message } : {}),
  })
}

/**
 * Compares the check value of a key that was just unwrapped with the one its file is bound to, then runs
 * `more`. A session object that is not the key does not outlive the error. @throws TokenError KEY_CHANGED.
 */
export async function assertRestored(
  token: Token,
  key: Key,
  spec: KeySpec,
  want: Kcv,
  more: () => Promise<void> = () => Promise.resolve(),
): Promise<Key> {
  try {
    const got = await key.kcv()
    if (got.method !== want.method || got.value !== want.value) {
      throw new TokenError('KEY_CHANGED', 'the unwrapped key is not the key that was wrapped', {
        where: key.uri,
        expected: `${want.method} ${want.value}`,
        got: `${got.method} ${got.value}`,
      })
    }
    await more()
    return key
  } catch (error) {
    if (spec.onToken === false) await token.discard(key)
    throw error
  }
}
