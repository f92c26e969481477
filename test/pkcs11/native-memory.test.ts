/**
 * Reads the memory of a process that used PINs and a key value. A planted buffer shows that the
 * scanner finds what is there; raw pkcs11js shows what the addon prevents. The scan covers all
 * writable memory: V8's heap, the addon's, and SoftHSM's own, which keeps no copy either.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { afterAll, describe, expect, it } from 'vitest'

import { newPin, printSkip, softHsm } from '../tokens.ts'
import { copies, fileHolds, formsOf } from './memory-scan.ts'

const hsm = softHsm()
const tokens = hsm.tokens('one', 'two', 'three', 'four')
afterAll(() => hsm.cleanup())

type Secret = 'planted' | 'user' | 'so' | 'fresh' | 'value'

/** Starts the child in `dir` and hands it its secrets. */
function start(label: keyof typeof tokens, mode: string, dir = hsm.dir) {
  const token = tokens[label]
  const pins = [newPin(), token.userPin(), token.soPin(), newPin()]
  const value = randomBytes(32)
  const [planted, user, so, fresh] = pins.map(formsOf) as [Buffer[], Buffer[], Buffer[], Buffer[]]
  // The child turns the SO PIN round to make another PIN of it.
  const needles: Record<Secret, Buffer[]> = {
    planted,
    user,
    so: [...so, ...formsOf(token.soPin().reverse())],
    fresh,
    value: [value],
  }
  const command = 'ulimit -c unlimited; exec "$@"'
  const file = join(import.meta.dirname, 'memory-child.ts')
  const args = ['-c', command, 'bash', process.execPath, file, hsm.module, label, mode]
  const child = spawn('bash', args, { cwd: dir, stdio: ['pipe', 'pipe', 'ignore'] })
  child.stdin.write(Buffer.concat([...pins, value]))
  const steps = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return { child, needles, next: async () => (await steps.next()).value }
}

describe.skipIf(process.platform !== 'linux')('process memory', () => {
  it('row 20: holds no copy of a PIN or key value after use; not in the command line either', async () => {
    const { child, needles, next } = start('one', 'addon')
    const seen: Record<string, Record<Secret, number>> = {}
    for (let step = await next(); step !== undefined; step = await next()) {
      seen[step] = copies(child.pid!, needles)
      for (const file of ['cmdline', 'environ']) {
        const bytes = readFileSync(`/proc/${child.pid!}/${file}`)
        for (const needle of Object.values(needles).flat())
          expect(bytes.includes(needle)).toBe(false)
      }
      child.stdin.write('.')
    }
    // 1 means: the caller's own buffer, which it has not wiped yet.
    expect(seen).toEqual({
      'login, not yet wiped by the caller': { planted: 1, user: 1, so: 1, fresh: 1, value: 1 },
      login: { planted: 1, user: 0, so: 1, fresh: 1, value: 1 },
      logout: { planted: 1, user: 0, so: 1, fresh: 1, value: 1 },
      'initPin and setPin': { planted: 1, user: 0, so: 0, fresh: 0, value: 1 },
      'key in use': { planted: 1, user: 0, so: 0, fresh: 0, value: expect.any(Number) as number },
      'key destroyed': { planted: 1, user: 0, so: 0, fresh: 0, value: 0 },
      'closed 64': { planted: 1, user: 0, so: 0, fresh: 0, value: 0 },
    })
  })

  it('row 10: keeps the PIN when raw pkcs11js logs in with a string', async () => {
    const { child, needles, next } = start('two', 'raw')
    expect(await next()).toBe('raw')
    expect(copies(child.pid!, needles).user).toBeGreaterThan(0)
    child.stdin.write('.')
    await once(child, 'exit')
  })
})

const pattern =
  process.platform === 'linux' && readFileSync('/proc/sys/kernel/core_pattern', 'utf8')
const writesCore = typeof pattern === 'string' && /^core[^/|]*$/.test(pattern.trim())
if (!writesCore) printSkip('core files: the system does not write them into the working directory')

describe.skipIf(!writesCore)('core files', () => {
  const aborted = async (label: 'three' | 'four', mode: string) => {
    const dir = join(hsm.dir, mode)
    mkdirSync(dir)
    const { child, needles, next } = start(label, mode, dir)
    for (let step = await next(); step !== undefined; step = await next()) child.stdin.write('.')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    expect(child.signalCode).toBe('SIGABRT')
    const core = [join(dir, 'core'), join(dir, `core.${child.pid!}`)].find((path) =>
      existsSync(path),
    )
    return { core, needles }
  }

  it('after a login hold planted bytes but no PIN', async () => {
    const { core, needles } = await aborted('three', 'abort')
    expect(fileHolds(core!, needles.planted)).toBe(true)
    for (const secret of ['user', 'so', 'fresh', 'value'] as const) {
      expect(fileHolds(core!, needles[secret]), secret).toBe(false)
    }
  })

  it('are not written at all after forbidCoreFiles', async () => {
    expect((await aborted('four', 'abort-without-core')).core).toBeUndefined()
  })
})
