/** Runs `raw-attacker.ts` in a process of its own. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

import type { TestToken } from '../tokens.ts'
import { SOFTHSM_MODULE } from '../tokens.ts'
import type { RawCall, RawTemplate, RawValue } from './raw-attacker.ts'

/** CKA_* numbers the tests use. */
export const CKA = {
  CLASS: 0x00,
  TOKEN: 0x01,
  VALUE_LEN: 0x161,
  PRIVATE: 0x02,
  LABEL: 0x03,
  VALUE: 0x11,
  TRUSTED: 0x86,
  ID: 0x102,
  KEY_TYPE: 0x100,
  SENSITIVE: 0x103,
  ENCRYPT: 0x104,
  DECRYPT: 0x105,
  WRAP: 0x106,
  UNWRAP: 0x107,
  SIGN: 0x108,
  SIGN_RECOVER: 0x109,
  VERIFY: 0x10a,
  DERIVE: 0x10c,
  EXTRACTABLE: 0x162,
  MODIFIABLE: 0x170,
  COPYABLE: 0x171,
  UNWRAP_TEMPLATE: 0x40000212,
  ALLOWED_MECHANISMS: 0x40000600,
} as const

/** Names instead of numbers; the order is kept. */
export const raw = (template: Partial<Record<keyof typeof CKA, RawValue | string>>): RawTemplate =>
  Object.entries(template).map(([name, value]) => [
    CKA[name as keyof typeof CKA],
    typeof value === 'string' ? { hex: Buffer.from(value, 'utf8').toString('hex') } : value,
  ])

/** The return values of `calls`, made with the USER PIN of `token` by a process without keyrite. */
export function attack(
  token: Pick<TestToken, 'serial' | 'userPin'>,
  calls: readonly RawCall[],
): number[] {
  const printed = execFileSync(process.execPath, [join(import.meta.dirname, 'raw-attacker.ts')], {
    encoding: 'utf8',
    input: JSON.stringify({
      module: SOFTHSM_MODULE,
      serial: token.serial,
      pin: Buffer.from(token.userPin()).toString('ascii'),
      calls,
    }),
  })
  return JSON.parse(printed) as number[]
}
