/** Tokens with keys for columns, configurations that name them, and runs of `keyrite fpe` with PINs from a file. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { loadModule } from '../../src/pkcs11/index.ts'
import { type SoftHsm, type TestToken, scratch, softHsm } from '../tokens.ts'
import { type Ran, toItsEnd } from './run-keyrite.ts'
import { keyrite, personalEnv } from './terminal.ts'

/** See the head of this file. */
export interface FpeSite {
  readonly softhsm: SoftHsm
  readonly tokens: Readonly<Record<'vault' | 'other', TestToken>>
  readonly dir: string
  readonly env: Record<string, string>
  /** Path of a file in the directory. */
  at(name: string): string
  /** Writes a configuration: `versions` of the one key, `columns` as they are. Returns its path. */
  config(current: number, columns: object, versions?: object): string
  /** Starts `keyrite fpe ARGS`, standard input and output as given. */
  start(args: readonly string[], stdin?: number, stdout?: number): ChildProcess
  /** Runs it to its end. */
  run(args: readonly string[], input?: string): Promise<Ran>
  /** Kills what still runs. */
  stop(): void
}

/** A column of card numbers, of which only the last digit stays. */
export const PAN = { pan: { key: 'cards', format: { type: 'pan' }, versionColumn: 'v' } }

/** `keys` on the token `vault`: fpe-1, fpe-2, legacy-revb; on `other`: fpe-3. */
export async function fpeSite(): Promise<FpeSite> {
  const softhsm = softHsm()
  const tokens = softhsm.tokens('vault', 'other')
  const dir = scratch('cli-fpe')
  const at = (name: string): string => join(dir, name)
  const hsm = await loadModule(softhsm.module)
  const make = async (token: TestToken, ...labels: string[]): Promise<void> => {
    await using open = await hsm.login(token.uri, { pin: token.userPin() })
    for (const [i, label] of labels.entries()) {
      await open.generate({ role: 'fpe', label, id: Uint8Array.of(i + 1) })
    }
  }
  await make(tokens.vault, 'fpe-1', 'fpe-2', 'legacy-revb')
  await make(tokens.other, 'fpe-3')
  await hsm[Symbol.asyncDispose]()
  const pin = (token: TestToken): string => Buffer.from(token.userPin()).toString('ascii')
  writeFileSync(at('login'), `${pin(tokens.vault)}\n${pin(tokens.other)}\n`, { mode: 0o600 })
  const env = { SOFTHSM2_CONF: softhsm.conf, KEYRITE_MODULE: softhsm.module }
  let configs = 0
  const children = new Set<ChildProcess>()

  const start: FpeSite['start'] = (args, stdin, stdout) => {
    const [program = '', ...rest] = keyrite('fpe', ...args)
    const login = openSync(at('login'), 'r')
    const child = spawn(program, [...rest, '--login-fd', '3'], {
      // A session of its own: no terminal of the test runner is asked anything.
      detached: true,
      cwd: dir,
      env: personalEnv(env),
      stdio: [stdin ?? 'pipe', stdout ?? 'pipe', 'pipe', login],
    })
    closeSync(login)
    children.add(child)
    child.once('close', () => children.delete(child))
    return child
  }
  return {
    ...{ softhsm, tokens, dir, env, at, start },
    config(current, columns, versions) {
      const path = at(`columns-${(configs += 1)}.json`)
      const key = (token: string, object: string) => ({
        uri: `pkcs11:token=${token};object=${object};type=secret-key`,
      })
      const keys = {
        cards: {
          current,
          versions: versions ?? {
            1: key('vault', 'fpe-1'),
            2: key('vault', 'fpe-2'),
            3: key('other', 'fpe-3'),
          },
        },
      }
      writeFileSync(path, JSON.stringify({ keyrite: 'fpe/1', keys, columns }))
      return path
    },
    stop() {
      for (const child of children) child.kill('SIGKILL')
    },
    run: (args, input) => toItsEnd(start(args), input),
  }
}

/** A card number that passes the Luhn check. */
export function cardNumber(index: number): string {
  const digits = String(411_111_000_000_000 + index)
  let sum = 0
  for (const [i, digit] of Array.from(digits).reverse().entries()) {
    const doubled = Number(digit) * (i % 2 === 0 ? 2 : 1)
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return `${digits}${(10 - (sum % 10)) % 10}`
}

/** CSV with a header and as many rows. */
export function customers(rows: number): string {
  const lines = Array.from(
    { length: rows },
    (_, i) => `${i},${cardNumber(i)},"Customer, No. ${i}"\r\n`,
  )
  return `id,pan,name\r\n${lines.join('')}`
}
