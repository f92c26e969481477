/** A token with a KEK, seed files as the ceremony leaves them, and runs of `keyrite embeddings` with PINs from a file. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { runCli } from '../../src/cli/program.ts'
import { wrapKeyText } from '../../src/lifecycle/index.ts'
import { type Token, loadModule } from '../../src/pkcs11/index.ts'
import { type SoftHsm, type TestToken, scratch, softHsm } from '../tokens.ts'
import { type Ran, toItsEnd } from './run-keyrite.ts'
import { keyrite, personalEnv } from './terminal.ts'

/** How a command is started. */
export interface StartOptions {
  /** Commands without keys get no `--login-fd`. */
  readonly login?: boolean
  readonly env?: Readonly<Record<string, string>>
}

/** See the head of this file. */
export interface EmbeddingsSite {
  readonly softhsm: SoftHsm
  readonly dir: string
  readonly env: Record<string, string>
  /** Path of a file in the directory. */
  at(name: string): string
  /** Writes a file into the directory; returns its name. */
  put(name: string, content: string | Uint8Array): string
  /** Starts `keyrite embeddings ARGS`. */
  start(args: readonly string[], options?: StartOptions): ChildProcess
  /** Runs it to its end in this process, which saves the start of one. */
  run(args: readonly string[], options?: StartOptions): Promise<Ran>
  /** Runs it to its end in a process of its own, with standard input. */
  spawn(args: readonly string[], options?: StartOptions & { readonly input?: string }): Promise<Ran>
  /** Kills what still runs, and removes everything. */
  stop(): void
}

const PLAN = 'ab'.repeat(32)
const approval = { by: ['alice', 'bob'], intentSha256: 'ab'.repeat(32) }

/** A seed file as `generate-embedding-key` writes it: its key is on no token any more. */
async function seedFile(token: Token, kek: string, epoch: number): Promise<string> {
  const id = new Uint8Array(randomBytes(16))
  const label = `embeddings-epoch-${epoch}`
  const key = await token.generate({ role: 'embedding-seed', label, id, form: 'birth' })
  const inner = { token, key: await token.key(`pkcs11:object=${kek}`) }
  const text = await wrapKeyText(key, 'embedding-seed', { inner }, PLAN)
  await token.destroy(key, approval)
  return text
}

/** Seeds `seed-1.json`, `seed-2.json` and, of the same epoch but another key, `other-1.json`; `login` has the PIN. */
export async function embeddingsSite(): Promise<EmbeddingsSite> {
  const softhsm = softHsm()
  const { vault }: { vault: TestToken } = softhsm.tokens('vault')
  const dir = scratch('cli-embeddings')
  const at = (name: string): string => join(dir, name)
  const put = (name: string, content: string | Uint8Array): string => {
    writeFileSync(at(name), content, { mode: 0o600 })
    return name
  }
  const hsm = await loadModule(softhsm.module)
  const token = await hsm.login(vault.uri, { pin: vault.userPin() })
  await token.generate({ role: 'kek', label: 'kek', id: new Uint8Array(randomBytes(16)) })
  put('seed-1.json', await seedFile(token, 'kek', 1))
  put('seed-2.json', await seedFile(token, 'kek', 2))
  put('other-1.json', await seedFile(token, 'kek', 1))
  await hsm[Symbol.asyncDispose]()
  put('login', `${Buffer.from(vault.userPin()).toString('ascii')}\n`)
  put('wrong-login', `${'0'.repeat(64)}\n`)
  const env = { SOFTHSM2_CONF: softhsm.conf, KEYRITE_MODULE: softhsm.module }
  const children = new Set<ChildProcess>()

  const start: EmbeddingsSite['start'] = (args, { login = true, env: more = {} } = {}) => {
    const [program = '', ...rest] = keyrite('embeddings', ...args)
    const pin = openSync(login ? at('login') : '/dev/null', 'r')
    const child = spawn(program, login ? [...rest, '--login-fd', '3'] : rest, {
      // A session of its own: no terminal of the test runner is asked anything.
      detached: true,
      cwd: dir,
      env: personalEnv({ ...env, ...more }),
      stdio: ['pipe', 'pipe', 'pipe', pin],
    })
    closeSync(pin)
    children.add(child)
    child.once('close', () => children.delete(child))
    return child
  }
  return {
    ...{ softhsm, dir, env, at, put, start },
    async run(args, { login = true, env: more = {} } = {}) {
      const texts = { stdout: '', stderr: '' }
      const into = (name: keyof typeof texts) => ({
        write: (text: string) => (texts[name] += text),
      })
      const pin = openSync(login ? at('login') : '/dev/null', 'r')
      const back = process.cwd()
      process.chdir(dir)
      try {
        const argv = ['embeddings', ...args, ...(login ? ['--login-fd', String(pin)] : [])]
        const io = { env: { ...env, ...more }, stdout: into('stdout'), stderr: into('stderr') }
        const code = await runCli(argv, io)
        return { code, ...texts }
      } finally {
        process.chdir(back)
        closeSync(pin)
      }
    },
    spawn: (args, { input, ...options } = {}) => toItsEnd(start(args, options), input),
    stop() {
      for (const child of children) child.kill('SIGKILL')
      softhsm.cleanup()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
