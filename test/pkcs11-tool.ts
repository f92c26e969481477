/** What OpenSC's pkcs11-tool lists on a token, and our objects in its words. */
import { execFileSync } from 'node:child_process'

/** One object of `pkcs11-tool -O`. */
export interface Listed {
  readonly class: string
  readonly label: string
  readonly id: string
  readonly usage: string
  readonly access: string
}

/** Logs in and lists the key objects; the PIN goes through the environment of the tool alone. */
export function pkcs11Tool(module: string, tokenLabel: string, pin: Uint8Array): Listed[] {
  const printed = execFileSync(
    'pkcs11-tool',
    [
      ...['--module', module, '--token-label', tokenLabel],
      ...['--login', '--pin', 'env:KEYRITE_TEST_PIN', '-O'],
    ],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, KEYRITE_TEST_PIN: Buffer.from(pin).toString('ascii') },
    },
  )
  const objects: Record<string, string>[] = []
  for (const line of printed.split('\n')) {
    const head = /^(Secret|Private|Public) Key Object/.exec(line)
    if (head?.[1] !== undefined) objects.push({ class: `${head[1].toLowerCase()}-key` })
    const field = /^ {2}(label|ID|Usage|Access): +(.*)$/.exec(line)
    const last = objects.at(-1)
    if (field?.[1] !== undefined && last !== undefined) last[field[1]] = field[2] ?? ''
  }
  return objects.map((fields) => ({
    class: fields['class'] ?? '',
    label: fields['label'] ?? '',
    id: fields['ID'] ?? '',
    usage: fields['Usage'] ?? '',
    access: fields['Access'] ?? '',
  }))
}

/** An object of ours: `flags` are the attributes that are true. */
export interface Ours {
  readonly class: string
  readonly label: string
  readonly id: string
  readonly flags: readonly string[]
}

/** pkcs11-tool's words for our attributes. */
export function inItsWords({ class: objectClass, label, id, flags }: Ours): Listed {
  const words = (names: readonly (readonly [string, string])[]) =>
    names.filter(([name]) => flags.includes(name)).map(([, word]) => word)
  const usage = words([
    ['ENCRYPT', 'encrypt'],
    ['DECRYPT', 'decrypt'],
    ['SIGN', 'sign'],
    ['VERIFY', 'verify'],
    ['WRAP', 'wrap'],
    ['UNWRAP', 'unwrap'],
    ['DERIVE', 'derive'],
  ])
  const access = words([
    ['SENSITIVE', 'sensitive'],
    ['ALWAYS_SENSITIVE', 'always sensitive'],
    ['EXTRACTABLE', 'extractable'],
    ['NEVER_EXTRACTABLE', 'never extractable'],
    ['LOCAL', 'local'],
  ])
  return {
    class: objectClass,
    label,
    id,
    usage: usage.length === 0 ? 'none' : usage.join(', '),
    access: access.join(', '),
  }
}

/** One text per object, in one order. */
export const sorted = (list: readonly Listed[]): string[] =>
  list.map((entry) => JSON.stringify(entry)).sort((x, y) => (x < y ? -1 : 1))
