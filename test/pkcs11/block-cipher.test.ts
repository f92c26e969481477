/** AES blocks and FPE rounds on a token: results, number of calls, ways, limits, cancellation. */
import { createCipheriv, randomBytes } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { FpeError } from '../../src/errors.ts'
import type { BlockCipher } from '../../src/ports.ts'
import { loadModule, REVERSED_KEY_SUFFIX } from '../../src/pkcs11/index.ts'
import type { BlockCipherOptions, Hsm, Key, Token } from '../../src/pkcs11/index.ts'
import { moduleCalls, openCryptoki } from '../../src/pkcs11/native.ts'
import type { Cryptoki } from '../../src/pkcs11/cryptoki.ts'
import { encryptPans, panGroup, pans } from '../fpe/pan-batch.ts'
import { eachModule } from '../tokens.ts'
import type { ModuleUnderTest } from '../tokens.ts'
import { keyImport } from './imported-key.ts'
import type { KeyImport } from './imported-key.ts'

const VALUE = new Uint8Array(randomBytes(32))

/** ECB by OpenSSL. */
function ecb(blocks: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-256-ecb', VALUE, null).setAutoPadding(false)
  return new Uint8Array(Buffer.concat([cipher.update(blocks), cipher.final()]))
}

eachModule((name, start) => {
  let under: ModuleUnderTest
  let hsm: Hsm
  let token: Token
  let imports: KeyImport
  let key: Key
  let port: Cryptoki

  beforeAll(async () => {
    under = start()
    const { libraryParameters } = under
    const options = libraryParameters === undefined ? {} : { libraryParameters }
    hsm = await loadModule(under.module, options)
    token = await hsm.login(under.token.uri, { pin: under.token.userPin() })
    imports = keyImport(under, token)
    key = await imports.key(VALUE)
    port = openCryptoki({ path: under.module, ...options })
  })
  afterAll(async () => {
    port.close()
    imports.close()
    await hsm[Symbol.asyncDispose]()
    under.cleanup()
  })

  /** Calls of the C_Encrypt family that `work` makes, once the key is known and an operation stands open. */
  async function calls(cipher: BlockCipher, work: () => Promise<unknown>) {
    for (let n = 0; n < 2; n += 1) await cipher.encryptBlocks(new Uint8Array(16))
    const before = moduleCalls(port)
    await work()
    const after = moduleCalls(port)
    const names = ['C_EncryptInit', 'C_Encrypt', 'C_EncryptUpdate', 'C_EncryptFinal']
    return names.map((fn) => (after[fn] ?? 0) - (before[fn] ?? 0))
  }

  describe('encryptBlocks', () => {
    const border = [1, 2, 1_023, 1_024, 1_025, 2_048, 5_000]
    test.each(border)('%d blocks: ECB, in calls of at most 1,024', async (count) => {
      const blocks = new Uint8Array(randomBytes(16 * count))
      const chunks = Math.ceil(count / 1_024)
      const single = key.blockCipher({ operation: 'single-part' })
      const made = await calls(single, async () => {
        expect(await single.encryptBlocks(blocks)).toEqual(ecb(blocks))
      })
      expect(made).toEqual([chunks, chunks, 0, 0])
      const multi = key.blockCipher({ operation: 'multi-part' })
      const updates = await calls(multi, async () => {
        expect(await multi.encryptBlocks(blocks)).toEqual(ecb(blocks))
      })
      expect(updates).toEqual([0, 0, chunks, 0])
    })

    test('auto is multi-part on a module that is known to support it', async () => {
      const cipher = key.blockCipher()
      const made = await calls(cipher, () => cipher.encryptBlocks(new Uint8Array(32)))
      expect(made).toEqual([0, 0, 1, 0])
      expect(cipher.chunkBlocks).toBe(1_024)
    })

    test('a view into a larger buffer is read and nothing around it is touched', async () => {
      const large = new Uint8Array(randomBytes(16 * 5))
      const before = large.slice()
      const view = large.subarray(16, 64)
      expect(await key.blockCipher().encryptBlocks(view)).toEqual(ecb(view))
      expect(large).toEqual(before)
    })

    test.each([0, 15, 17])('%d bytes are refused', async (bytes) => {
      const refused = key.blockCipher().encryptBlocks(new Uint8Array(bytes))
      await expect(refused).rejects.toMatchObject({ code: 'ARGUMENT_INVALID' })
    })

    test('chunkBlocks bounds every call', async () => {
      const blocks = new Uint8Array(randomBytes(16 * 10))
      const cipher = key.blockCipher({ chunkBlocks: 3, operation: 'single-part' })
      const made = await calls(cipher, async () => {
        expect(await cipher.encryptBlocks(blocks)).toEqual(ecb(blocks))
      })
      expect(made).toEqual([4, 4, 0, 0])
    })

    test.each([
      [{ chunkBlocks: 0 }, 'chunkBlocks'],
      [{ chunkBlocks: 65_537 }, 'chunkBlocks'],
      [{ chunkBlocks: 1.5 }, 'chunkBlocks'],
      [{ operation: 'fast' }, 'operation'],
    ])('%j is refused', (options, what) => {
      expect(() => key.blockCipher(options as BlockCipherOptions)).toThrow(
        expect.objectContaining({
          code: 'ARGUMENT_INVALID',
          where: `blockCipher: ${what}`,
        }) as Error,
      )
    })
  })

  describe('feistel', () => {
    test.each([1, 10, 1_023, 1_024, 1_025, 5_000])(
      '%d numbers: ten waves in as few calls as the chunk allows, and back',
      async (count) => {
        const input = pans(count)
        const waves = 10 * Math.ceil(count / 1_024)
        const outputs: (Uint8Array | Uint16Array)[] = []
        for (const operation of ['single-part', 'multi-part'] as const) {
          const cipher = key.blockCipher({ operation })
          const group = await panGroup(cipher, input)
          const made = await calls(cipher, () =>
            cipher.feistel!({ method: 'FF1', direction: 'encrypt', groups: [group] }),
          )
          const [init, encrypt, update, final] = made
          if (operation === 'single-part') expect(made).toEqual([waves, waves, 0, 0])
          else expect([encrypt, update]).toEqual([0, waves])
          // The operation of the batch before stands open.
          if (operation === 'multi-part') expect([init, final]).toEqual([0, 0])
          expect(
            await encryptPans(cipher, group.output as Uint8Array, { direction: 'decrypt' }),
          ).toEqual(input)
          outputs.push(group.output)
        }
        expect(outputs[0]).toEqual(outputs[1])
        expect(outputs[0]).not.toEqual(input)
      },
    )

    test('concurrent batches, more than there are sessions', async () => {
      const cipher = key.blockCipher()
      const input = pans(3_000)
      const expected = await encryptPans(cipher, input)
      const all = await Promise.all(Array.from({ length: 12 }, () => encryptPans(cipher, input)))
      for (const output of all) expect(output).toEqual(expected)
    })

    test('a symbol outside the alphabet: its index, no call, no output', async () => {
      const cipher = key.blockCipher()
      const input = pans(100)
      input[16 * 42 + 3] = 0x61
      const groups = [await panGroup(cipher, pans(7)), await panGroup(cipher, input)]
      const made = await calls(cipher, async () => {
        const error: unknown = await cipher.feistel!({
          method: 'FF1',
          direction: 'encrypt',
          groups,
        }).catch((e: unknown) => e)
        expect(error).toBeInstanceOf(FpeError)
        expect(error).toMatchObject({ code: 'SYMBOL_INVALID', index: 49 })
        for (const { output } of groups) expect(output.every((byte) => byte === 0)).toBe(true)
      })
      expect(made).toEqual([0, 0, 0, 0])
    })

    test('a batch that is malformed is refused before the token is asked', async () => {
      const cipher = key.blockCipher()
      const good = await panGroup(cipher, pans(3))
      const bad = [
        { radix: 1 },
        { count: 4 },
        { output: new Uint8Array(3) },
        { output: new Uint8Array(good.input.buffer, 1, good.input.length - 1) },
        { tweaks: new Uint8Array(3) },
        { prefix: new Uint8Array(15) },
      ]
      const made = await calls(cipher, async () => {
        for (const change of bad) {
          const groups = [{ ...good, ...change }]
          const refused = cipher.feistel!({ method: 'FF1', direction: 'encrypt', groups })
          await expect(refused).rejects.toMatchObject({
            name: 'TokenError',
            code: 'ARGUMENT_INVALID',
          })
        }
      })
      expect(made).toEqual([0, 0, 0, 0])
    })

    test('an aborted signal: ABORTED at once, or between two calls; the key works afterwards', async () => {
      const cipher = key.blockCipher()
      const input = pans(400_000)
      const early = encryptPans(cipher, input, { signal: AbortSignal.abort() })
      await expect(early).rejects.toMatchObject({ code: 'ABORTED' })
      const group = await panGroup(cipher, input)
      const controller = new AbortController()
      const { signal } = controller
      const done = cipher.feistel!({ method: 'FF1', direction: 'encrypt', groups: [group], signal })
      setTimeout(() => controller.abort(), 5)
      await expect(done).rejects.toMatchObject({ name: 'FpeError', code: 'ABORTED' })
      expect(group.output.every((byte) => byte === 0)).toBe(true)
      const few = pans(50)
      const expected = await encryptPans(cipher, few)
      const back = await encryptPans(cipher, expected as Uint8Array, { direction: 'decrypt' })
      expect(back).toEqual(few)
      expect(moduleCalls(port)['C_OpenSession']).toBeLessThan(30)
    })

    test('a million numbers leave the event loop free', async () => {
      const cipher = key.blockCipher()
      const group = await panGroup(cipher, pans(1_000_000))
      let least = Infinity
      // Other processes of the machine take turns too: the best of three.
      for (let n = 0; n < 3; n += 1) {
        group.output.fill(0)
        const delays = monitorEventLoopDelay({ resolution: 1 })
        await new Promise((resolve) => setTimeout(resolve, 20))
        delays.enable()
        await cipher.feistel!({ method: 'FF1', direction: 'encrypt', groups: [group] })
        delays.disable()
        least = Math.min(least, delays.max / 1e6)
        expect(group.output.at(-1)).not.toBe(0)
      }
      expect(least).toBeLessThan(20)
    })
  })

  test('a label that ends in -revb marks a key whose bytes are reversed, and nothing else does', async () => {
    expect(REVERSED_KEY_SUFFIX).toBe('-revb')
    const marked = await imports.key(VALUE, REVERSED_KEY_SUFFIX)
    expect(marked.blockCipher().reversedKey).toBe(true)
    const other = await imports.key(VALUE, '-revb-2')
    expect(other.blockCipher().reversedKey).toBe(false)
    expect(key.blockCipher().reversedKey).toBe(false)
  })

  test('closing the token waits for the work that runs', async () => {
    const spare = await hsm.open(under.token.uri)
    const [same] = await spare.find({ label: key.label })
    const cipher = same!.blockCipher()
    const input = pans(200_000)
    const expected = await encryptPans(key.blockCipher(), input)
    const group = await panGroup(cipher, input)
    const work = cipher.feistel!({ method: 'FF1', direction: 'encrypt', groups: [group] })
    await new Promise((resolve) => setTimeout(resolve, 2))
    let done = false
    const finished = work.then(() => {
      done = true
    })
    await spare[Symbol.asyncDispose]()
    expect(done).toBe(true)
    await finished
    expect(group.output).toEqual(expected)
    const late = cipher.encryptBlocks(new Uint8Array(16))
    await expect(late).rejects.toMatchObject({ code: 'MODULE_CLOSED' })
    expect(name).toBeTypeOf('string')
  })
})
