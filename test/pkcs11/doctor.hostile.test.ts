/** Files that are no modules, and modules that break their process: an error each, and nothing worse. */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

import { KeyriteError, TokenError } from '../../src/errors.ts'
import { formatDoctorReport, runDoctor } from '../../src/pkcs11/index.ts'
import { softHsm } from '../tokens.ts'
import type { SoftHsm, TestToken } from '../tokens.ts'
import { evilModule, impostor } from './doctor-evil.ts'

let soft: SoftHsm
let vault: TestToken
beforeAll(() => {
  soft = softHsm()
  vault = soft.tokens('vault').vault
})
afterAll(() => soft.cleanup())

async function failure(path: string, timeoutMs = 20_000): Promise<TokenError> {
  const error: unknown = await runDoctor(path, { timeoutMs }).catch((e: unknown) => e)
  if (!(error instanceof TokenError)) throw new Error('not a TokenError', { cause: error })
  expect(error.hint, 'hint').toBeTruthy()
  expect(error.where, 'where').toContain(path)
  return error
}

describe('files that are no modules', () => {
  const file = (name: string, content: string | Uint8Array): string => {
    const path = join(soft.dir, name)
    writeFileSync(path, content)
    return path
  }

  it('names what they are', async () => {
    expect((await failure('/nowhere/module.so')).code).toBe('MODULE_NOT_FOUND')
    expect((await failure(file('empty.so', ''))).code).toBe('MODULE_INVALID')
    expect((await failure(file('text.so', 'not a library\n'.repeat(20)))).code).toBe(
      'MODULE_INVALID',
    )
    const directory = join(soft.dir, 'directory.so')
    mkdirSync(directory)
    expect((await failure(directory)).code).toBe('MODULE_INVALID')
    // The header of an ELF file and nothing behind it.
    const head = readFileSync(soft.module).subarray(0, 64)
    expect((await failure(file('header.so', head))).code).toBe('MODULE_INVALID')
  })

  it('refuses a module of another machine', async () => {
    const bytes = readFileSync(soft.module)
    bytes.writeUInt16LE(bytes.readUInt16LE(18) === 62 ? 183 : 62, 18)
    const error = await failure(file('other-machine.so', bytes))
    expect(error.code).toBe('MODULE_INVALID')
    expect(error.expected).toContain(process.arch)
  })

  it('refuses a truncated module', async () => {
    const bytes = readFileSync(soft.module)
    const error = await failure(file('half.so', bytes.subarray(0, bytes.length >> 1)))
    expect(['MODULE_INVALID', 'MODULE_CRASHED']).toContain(error.code)
  })

  it('refuses a library without C_GetFunctionList', async () => {
    const error = await failure(evilModule(soft.dir, 'NO_ENTRY'))
    expect(error.code).toBe('MODULE_INVALID')
    expect(error.got).toContain('C_GetFunctionList')
  })

  it.each(['NULL_LIST', 'GARBAGE_VERSION'])(
    'refuses a function list that is a %s',
    async (fault) => {
      expect((await failure(evilModule(soft.dir, fault))).code).toBe('MODULE_INVALID')
    },
  )
})

describe('modules that break their process', () => {
  it.each([
    ['CRASH_IN_CONSTRUCTOR', 'SIGABRT'],
    ['CRASH_IN_GET_LIST', 'SIGSEGV'],
    ['CRASH_IN_INITIALIZE', 'SIGSEGV'],
    ['EXIT_IN_INITIALIZE', 'code 0'],
  ])('%s: died of %s', async (fault, how) => {
    const error = await failure(evilModule(soft.dir, fault))
    expect(error.code).toBe('MODULE_CRASHED')
    expect(error.got).toContain(how)
    expect(error.where).toContain('C_Initialize')
  })

  it('kills a module that does not return', async () => {
    const started = performance.now()
    const error = await failure(evilModule(soft.dir, 'HANG_IN_INITIALIZE'), 1500)
    expect(error.code).toBe('MODULE_HUNG')
    expect(error.where).toContain('C_Initialize')
    expect(performance.now() - started).toBeLessThan(15_000)
  })

  it('passes on what C_Initialize answered', async () => {
    const error: unknown = await runDoctor(evilModule(soft.dir, 'REFUSE')).catch((e: unknown) => e)
    expect(error).toMatchObject({ fn: 'C_Initialize', rv: 'CKR_DEVICE_ERROR' })
  })

  it('says in which call and during which probe it crashed', async () => {
    const error = await failure(impostor(soft.dir, soft.module, 'C_WrapKey', 'CrashOnWrap'))
    expect(error).toMatchObject({ code: 'MODULE_CRASHED', got: 'the process died of SIGSEGV' })
    expect(error.where).toMatch(/C_WrapKey \(known answer/)
  })

  it('says in which call it hung', async () => {
    const path = impostor(soft.dir, soft.module, 'C_CreateObject', 'HangOnCreate')
    const error = await failure(path, 2500)
    expect(error.code).toBe('MODULE_HUNG')
    expect(error.where).toContain('C_CreateObject (known answer aes-ecb)')
  })

  it('keeps what it found when the module crashes at the end', async () => {
    const path = impostor(soft.dir, soft.module, 'C_Finalize', 'CrashOnFinalize')
    const report = await runDoctor(path)
    expect(report.profile?.protectsKeys).toBe(true)
    expect(report.shutdown).toBe('C_Finalize: the process died of SIGSEGV')
    expect(formatDoctorReport(report).join('\n')).toContain('! SHUTDOWN')
  })

  it('does not count a token that went away as one that refuses', async () => {
    const path = impostor(soft.dir, soft.module, 'C_WrapKey', 'GoneOnWrap')
    await expect(runDoctor(path)).rejects.toMatchObject({ rv: 'CKR_DEVICE_REMOVED' })
  })
})

describe('modules that lie', () => {
  it('sees wrong ciphertext and a generator that repeats itself', async () => {
    const cipher = await runDoctor(impostor(soft.dir, soft.module, 'C_Encrypt', 'WrongCipher'))
    const wrong = cipher.knownAnswers.filter(({ result }) => result === 'mismatch')
    expect(wrong.map(({ id }) => id)).toEqual(['aes-ecb', 'aes-cbc', 'aes-cbc-zero-iv', 'aes-gcm'])
    expect(cipher.profile).toMatchObject({ protectsKeys: false, blockCipher: { mechanism: null } })
    const random = await runDoctor(
      impostor(soft.dir, soft.module, 'C_GenerateRandom', 'SameRandom'),
    )
    expect(random.knownAnswers.find(({ id }) => id === 'random')).toMatchObject({
      result: 'mismatch',
      detail: 'two draws are the same',
    })
  })

  it('is not confused by a module that prints', async () => {
    const report = await runDoctor(impostor(soft.dir, soft.module, 'C_Initialize', 'Chatter'))
    expect(report.probed?.label).toBe('vault')
  })

  it('does not let a module steer the terminal', async () => {
    const report = await runDoctor(impostor(soft.dir, soft.module, 'C_GetInfo', 'EvilInfo'))
    expect(report.module.libraryDescription).toContain('\u001b')
    const text = formatDoctorReport(report).join('\n')
    expect(/[\x00-\x09\x0b-\x1f\x7f]/.test(text)).toBe(false)
    expect(text).toContain('trust me')
  })
})

describe('the PIN', () => {
  /** Command lines and environments of this process's children. */
  function childrenOf(pid: number): string[] {
    return readdirSync(`/proc/${pid}/task`)
      .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'ascii').split(' '))
      .filter((child) => child !== '')
      .flatMap((child) => {
        try {
          return [`/proc/${child}/cmdline`, `/proc/${child}/environ`].map((file) =>
            readFileSync(file, 'latin1'),
          )
        } catch {
          return [] // ended in the meantime
        }
      })
  }

  it('is in no argument list and no environment while the child runs', async () => {
    const path = impostor(soft.dir, soft.module, 'C_CreateObject', 'HangOnCreate')
    const pin = vault.userPin()
    const run = runDoctor(path, { tokenUri: vault.uri, pin, timeoutMs: 2500 }).catch(
      (e: unknown) => e,
    )
    const seen = await vi.waitUntil(() => {
      const now = childrenOf(process.pid)
      return now.some((line) => line.includes('doctor-child')) ? now : undefined
    })
    const text = Buffer.from(pin).toString('ascii')
    expect(seen.some((line) => line.includes(text))).toBe(false)
    const error = await run
    expect(error).toMatchObject({ code: 'MODULE_HUNG' })
    expect(JSON.stringify([error, (error as Error).stack])).not.toContain(text)
    // The caller's PIN is the caller's to wipe.
    expect(Buffer.from(pin).toString('ascii')).toBe(text)
  })

  it('is in no error and no report', async () => {
    const text = Buffer.from(vault.userPin()).toString('ascii')
    const wrong = Buffer.from(text).reverse()
    const error: unknown = await runDoctor(soft.module, {
      tokenUri: vault.uri,
      pin: new Uint8Array(wrong),
    }).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(KeyriteError)
    expect(JSON.stringify(error)).not.toContain(wrong.toString('ascii'))
    const report = await runDoctor(soft.module, { tokenUri: vault.uri, pin: vault.userPin() })
    expect(JSON.stringify(report)).not.toContain(text)
  })
})
