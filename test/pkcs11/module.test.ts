/** Loading: file identity, one instance per file, who closes what. */
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { loadModule } from '../../src/pkcs11/index.ts'
import { scratch, softHsm } from '../tokens.ts'
import type { SoftHsm, TestToken } from '../tokens.ts'

let softhsm: SoftHsm
let vault: TestToken
let dir: string
let sha256: string

beforeAll(() => {
  softhsm = softHsm()
  vault = softhsm.tokens('vault').vault
  dir = scratch('module')
  sha256 = createHash('sha256').update(readFileSync(softhsm.module)).digest('hex')
})
afterAll(() => {
  softhsm.cleanup()
  rmSync(dir, { recursive: true, force: true })
})

describe('loadModule', () => {
  test('says what was loaded: real path, hash, versions', async () => {
    await using hsm = await loadModule(softhsm.module, { expectSha256: sha256.toUpperCase() })
    expect(hsm.info).toMatchObject({
      path: realpathSync(softhsm.module),
      sha256,
      cryptokiVersion: '2.40',
      manufacturerId: 'SoftHSM',
      libraryVersion: '2.6',
    })
  })

  test('another hash than expected is MODULE_INVALID, before anything is loaded', async () => {
    const wrong = loadModule(softhsm.module, { expectSha256: '00'.repeat(32) })
    await expect(wrong).rejects.toMatchObject({
      code: 'MODULE_INVALID',
      expected: `sha256 ${'00'.repeat(32)}`,
      got: `sha256 ${sha256}`,
    })
  })

  test('one instance per file, also through a link; the last to go finalises it', async () => {
    const link = join(dir, 'link.so')
    symlinkSync(softhsm.module, link)
    const first = await loadModule(softhsm.module)
    const second = await loadModule(link)
    expect(second.info).toEqual(first.info)
    const token = await first.login(vault.uri, { pin: vault.userPin() })
    await expect(second.login(vault.uri, { pin: vault.userPin() })).rejects.toMatchObject({
      code: 'ALREADY_LOGGED_IN',
    })
    await second[Symbol.asyncDispose]()
    await second[Symbol.asyncDispose]()
    expect(await token.random.bytes(4)).toHaveLength(4)
    await first[Symbol.asyncDispose]()
    const closed = { code: 'MODULE_CLOSED' }
    await expect(token.random.bytes(4)).rejects.toMatchObject(closed)
    await expect(first.tokens()).rejects.toMatchObject(closed)
    await expect(first.login(vault.uri, { pin: vault.userPin() })).rejects.toMatchObject(closed)

    await using again = await loadModule(softhsm.module)
    await using after = await again.login(vault.uri, { pin: vault.userPin() })
    expect(await after.random.bytes(4)).toHaveLength(4)
  })

  test('a file that changed since it was loaded is not taken for it', async () => {
    const copy = join(dir, 'copy.so')
    copyFileSync(softhsm.module, copy)
    await using hsm = await loadModule(copy)
    const bytes = readFileSync(copy)
    rmSync(copy)
    writeFileSync(copy, Buffer.concat([bytes, Buffer.from([0])]))
    await expect(loadModule(copy)).rejects.toMatchObject({
      code: 'MODULE_INVALID',
      hint: expect.stringContaining('restart'),
    })
    expect(await hsm.blankSlots()).toHaveLength(1)
  })

  test('other library parameters than the first load are refused', async () => {
    await using hsm = await loadModule(softhsm.module)
    await expect(loadModule(softhsm.module, { libraryParameters: 'other' })).rejects.toMatchObject({
      code: 'ARGUMENT_INVALID',
    })
    expect(await hsm.tokens()).toHaveLength(1)
  })

  test.each([
    ['a missing file', () => join(dir, 'no.so'), 'MODULE_NOT_FOUND'],
    ['a directory', () => dir, 'MODULE_NOT_FOUND'],
    ['a text', () => import.meta.filename, 'MODULE_INVALID'],
    ['a library that is no module', () => process.execPath, 'MODULE_INVALID'],
  ])('%s is refused', async (_, path, code) => {
    await expect(loadModule(path())).rejects.toMatchObject({ code })
  })

  test('slots without an initialised token are not tokens', async () => {
    await using hsm = await loadModule(softhsm.module)
    const tokens = await hsm.tokens()
    const blank = await hsm.blankSlots()
    expect(tokens.map(({ label }) => label)).toEqual(['vault'])
    expect(blank).toHaveLength(1)
    await expect(hsm.open(`pkcs11:slot-id=${blank[0] ?? 0}`)).rejects.toMatchObject({
      code: 'TOKEN_NOT_FOUND',
    })
    await using token = await hsm.open(`pkcs11:slot-id=${tokens[0]?.slotId ?? 0}`)
    expect(token.info.serial).toBe(vault.serial)
  })
})
