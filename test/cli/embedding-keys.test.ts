/** Seeds of embeddings for a command: from files and tokens into memory, out of it again, and nothing by halves. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'

import { toHex } from '../../src/bytes.ts'
import { deriveSeed, wrapKeyText } from '../../src/lifecycle/index.ts'
import { type KekOnToken } from '../../src/lifecycle/index.ts'
import { loadModule } from '../../src/pkcs11/index.ts'
import { copies } from '../pkcs11/memory-scan.ts'
import { type TestToken, newPin, scratch, softHsm } from '../tokens.ts'
import { openTerminal, personalEnv, plainText } from './terminal.ts'

const CHILD = join(import.meta.dirname, 'embedding-keys-child.ts')
const softhsm = softHsm()
const dir = scratch('embedding-keys')
const env = { SOFTHSM2_CONF: softhsm.conf, KEYRITE_MODULE: softhsm.module, NO_COLOR: '1' }
const at = (name: string): string => join(dir, name)
const id = () => new Uint8Array(randomBytes(16))
let tokens: Record<'vault' | 'custody' | 'other', TestToken>
const seeds: Uint8Array[] = []
/** What the child prints of the seed of an epoch. */
const opened = (epoch: number) => ({ epoch, some: toHex(seeds[epoch]?.subarray(6, 10) ?? id()) })
const text = (pin: Uint8Array): string => Buffer.from(pin).toString('ascii')
const pins = (...of: TestToken[]): string =>
  of.map((token) => `${text(token.userPin())}\n`).join('')

beforeAll(async () => {
  tokens = softhsm.tokens('vault', 'custody', 'other')
  await using hsm = await loadModule(softhsm.module)
  const login = (token: TestToken) => hsm.login(token.uri, { pin: token.userPin() })
  await using a = await login(tokens.vault)
  await using b = await login(tokens.custody)
  await using c = await login(tokens.other)
  const sealing = { role: 'kek-outer', label: 'kek-outer', id: id() } as const
  const inner = { token: a, key: await a.generate({ role: 'kek', label: 'kek', id: id() }) }
  const outer = { token: b, key: await b.generate(sealing) }
  await c.generate({ role: 'kek', label: 'kek', id: id() })
  const make = async (epoch: number, keks: { inner: KekOnToken; outer?: KekOnToken }) => {
    const name = `embeddings-epoch-${epoch}`
    const spec = { role: 'embedding-seed', label: name, id: id(), form: 'birth' } as const
    const key = await a.generate(spec)
    seeds[epoch] = await deriveSeed(key, name)
    writeFileSync(
      at(`${epoch}.json`),
      await wrapKeyText(key, 'embedding-seed', keks, 'ab'.repeat(32)),
    )
    await a.destroy(key, { by: ['alice', 'bob'], intentSha256: 'ab'.repeat(32) })
  }
  await make(1, { inner })
  await make(2, { inner, outer })
  await make(3, { inner })
})
afterAll(() => {
  rmSync(dir, { recursive: true, force: true })
  softhsm.cleanup()
})

const children = new Set<ChildProcess>()
afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
})

interface Opening {
  readonly child: ChildProcess
  /** The next line it prints. */
  line(): Promise<unknown>
  step(): void
  readonly ended: Promise<number | null>
}

/** Starts the child with these PINs on descriptor 3. */
function start(args: readonly string[], login: string): Opening {
  writeFileSync(at('login'), login, { mode: 0o600 })
  const fd = openSync(at('login'), 'r')
  const child = spawn(process.execPath, [CHILD, ...args, '--login-fd', '3'], {
    detached: true,
    cwd: dir,
    env: personalEnv(env),
    stdio: ['pipe', 'pipe', 'inherit', fd],
  })
  closeSync(fd)
  children.add(child)
  if (child.stdout === null) throw new Error('no output')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = once(child, 'close').then(() => child.exitCode)
  return {
    child,
    async line() {
      const { value } = (await lines.next()) as { value?: string }
      return JSON.parse(value ?? 'null') as unknown
    },
    step: () => void child.stdin?.write('.'),
    ended,
  }
}

/** The error it ends with. */
async function refused(args: readonly string[], login: string): Promise<Record<string, string>> {
  const opening = start(args, login)
  const { error = {} } = (await opening.line()) as { error?: Record<string, string> }
  expect(await opening.ended).toBe(1)
  return error
}

describe('a service that starts', () => {
  it('has every epoch in order, whatever the order of the files, with one login for each token', async () => {
    const args = ['--seed', '3.json', '--seed', '1.json', '--seed', '2.json']
    const opening = start(args, pins(tokens.vault, tokens.custody))
    expect(await opening.line()).toEqual([opened(1), opened(2), opened(3)])
    opening.step()
    expect(await opening.line()).toEqual({ wiped: true })
    opening.step()
    expect(await opening.ended).toBe(0)
  })

  it('has the seeds in memory until it disposes of them, and the PIN at no time after', async () => {
    const args = ['--seed', '1.json', '--seed', '2.json']
    const opening = start(args, pins(tokens.vault, tokens.custody))
    await opening.line()
    const [, one = id(), two = id()] = seeds
    const halves = (seed: Uint8Array) => [
      Buffer.from(seed.subarray(0, 16)),
      Buffer.from(seed.subarray(16)),
    ]
    const secrets = {
      one: [Buffer.from(one)],
      two: [Buffer.from(two)],
      pieces: [...halves(one), ...halves(two)],
      pin: [Buffer.from(tokens.vault.userPin())],
    }
    const pid = opening.child.pid ?? 0
    // Each seed once: what the token returned piece by piece is wiped.
    expect(copies(pid, secrets)).toEqual({ one: 1, two: 1, pieces: 4, pin: 0 })
    opening.step()
    expect(await opening.line()).toEqual({ wiped: true })
    expect(copies(pid, secrets)).toEqual({ one: 0, two: 0, pieces: 0, pin: 0 })
  })

  it('finds the tokens it is told, instead of those the files name', async () => {
    const uris = ['--token', 'pkcs11:token=vault', '--outer-token', 'pkcs11:token=custody']
    const login = pins(tokens.vault, tokens.custody)
    const opening = start(['--seed', '2.json', ...uris], login)
    expect(await opening.line()).toEqual([opened(2)])
  })

  it('asks at the terminal for the PIN of each token by its name', async () => {
    const command = [process.execPath, CHILD, '--seed', at('2.json')]
    await using terminal = openTerminal(command, { cwd: dir, env: personalEnv(env) })
    await terminal.expect('user PIN of token vault (not shown):')
    terminal.type(`${text(tokens.vault.userPin())}\r`)
    await terminal.expect('user PIN of token custody (not shown):')
    terminal.type(`${text(tokens.custody.userPin())}\r`)
    await terminal.expect(opened(2).some)
    for (const token of Object.values(tokens)) {
      expect(plainText(terminal.output)).not.toContain(text(token.userPin()))
    }
  })
})

describe('is refused before any PIN is read', () => {
  const rows: readonly [string, () => string[], object][] = [
    [
      'two files of one epoch',
      () => {
        writeFileSync(at('copy.json'), readFileSync(at('1.json')))
        return ['--seed', '1.json', '--seed', 'copy.json']
      },
      { code: 'CONFIG', where: '--seed copy.json' },
    ],
    [
      'no such file',
      () => ['--seed', '1.json', '--seed', 'none'],
      { code: 'CONFIG', where: 'none' },
    ],
    [
      'a file that is no seed',
      () => {
        writeFileSync(at('other.json'), '{"format":"keyrite-wrap/2"}')
        return ['--seed', '1.json', '--seed', 'other.json']
      },
      { code: 'FORMAT' },
    ],
  ]
  it.each(rows)('%s', async (_what, args, error) => {
    // With no PIN on the descriptor, a login would be refused in other words.
    expect(await refused(args(), '')).toMatchObject(error)
  })
})

describe('fails closed', () => {
  const vaultOnly = (login: string) => refused(['--seed', '1.json'], login)

  it('a wrong PIN', async () => {
    expect(await vaultOnly(`${text(newPin())}\n`)).toMatchObject({
      name: 'Pkcs11Error',
      message: 'C_Login failed: CKR_PIN_INCORRECT',
    })
  })

  it('a PIN too few', async () => {
    const error = await refused(['--seed', '1.json', '--seed', '2.json'], pins(tokens.vault))
    expect(error).toMatchObject({ code: 'CONFIG', where: '--login-fd 3', got: 'the end' })
  })

  it('another token with a KEK of the same name', async () => {
    const args = ['--seed', '1.json', '--token', 'pkcs11:token=other']
    expect(await refused(args, pins(tokens.other))).toMatchObject({
      name: 'EmbeddingError',
      code: 'KEY_MISMATCH',
      where: '1.json',
    })
  })

  it('a token without such a KEK', async () => {
    const args = ['--seed', '1.json', '--token', 'pkcs11:token=custody']
    expect(await refused(args, pins(tokens.custody))).toMatchObject({ code: 'KEY_NOT_FOUND' })
  })

  it('a token that is not there', async () => {
    const args = ['--seed', '1.json', '--token', 'pkcs11:token=none']
    expect(await refused(args, '')).toMatchObject({ code: 'TOKEN_NOT_FOUND' })
  })

  it('a changed file beside a good one: no seed is handed over', async () => {
    const changed = readFileSync(at('3.json'), 'utf8').replaceAll('epoch-3', 'epoch-4')
    writeFileSync(at('changed.json'), changed)
    const args = ['--seed', '1.json', '--seed', 'changed.json']
    expect(await refused(args, pins(tokens.vault))).toMatchObject({
      name: 'TokenError',
      code: 'KEY_CHANGED',
      where: 'changed.json: embeddings-epoch-4: mac',
    })
  })
})
