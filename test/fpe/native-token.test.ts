/** The addon's rounds and blocks on SoftHSM: the three ways of calling a token, and what each costs in calls. */
import { randomBytes } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { loadAddon } from '../../src/addon.ts'
import type { NativeBatch, NativeCipherOptions } from '../../src/feistel-addon.ts'
import type { Addon, EncodedMechanism } from '../../src/pkcs11/addon.ts'
import { CKM } from '../../src/pkcs11/constants-ckm.ts'
import type { Cryptoki, ObjectHandle, SessionHandle } from '../../src/pkcs11/cryptoki.ts'
import { openCryptoki } from '../../src/pkcs11/native.ts'
import { knownAes, openSession } from '../pkcs11/open-session.ts'
import { softHsm } from '../tokens.ts'
import { type Shape, aesOf, expected, recordsOf, sizes, toBatch } from './feistel-oracle.ts'

const hsm = softHsm()
const { vault } = hsm.tokens('vault')
const addon = loadAddon() as Addon
const value = new Uint8Array(randomBytes(32))
const aes = aesOf(value)
let cryptoki: Cryptoki
let session: SessionHandle
let key: ObjectHandle
let id: number

beforeAll(() => {
  cryptoki = openCryptoki({ path: hsm.module })
  session = openSession(cryptoki, vault)
  key = cryptoki.createObject(session, knownAes(value))
  id = addon.open(hsm.module).id
})
afterAll(() => {
  cryptoki.close()
  hsm.cleanup()
})

const ALL_WELL = { rv: 0, fn: '', invalid: -1, aborted: false, open: false }
const LEFT_OPEN = { ...ALL_WELL, open: true }
const ecb: EncodedMechanism = { type: CKM.AES_ECB, parameter: [] }
const cbc: EncodedMechanism = { type: CKM.AES_CBC, parameter: [{ inline: new Uint8Array(16) }] }
const newCancel = () => new Int32Array(new SharedArrayBuffer(4))

/** No operation stands open before or after a job. */
const alone = { begun: false, leaveOpen: false }

interface Mode {
  readonly mechanism: EncodedMechanism
  readonly options: Omit<NativeCipherOptions, 'chunkBlocks'>
}
const MODES: Record<string, Mode> = {
  'one call': { mechanism: ecb, options: { multiPart: false, singleBlocks: false, ...alone } },
  'multi-part': { mechanism: ecb, options: { multiPart: true, singleBlocks: false, ...alone } },
  'single blocks': { mechanism: cbc, options: { multiPart: false, singleBlocks: true, ...alone } },
}

async function counted<T>(work: () => Promise<T>) {
  const before = addon.calls(id)
  const result = await work()
  const calls = Object.entries(addon.calls(id))
    .map(([name, count]): [string, number] => [name, count - (before[name] ?? 0)])
    .filter(([, count]) => count !== 0)
  return { result, calls: Object.fromEntries(calls) }
}

/** Shapes of a batch, in records of random numerals. */
const shapes: readonly Shape[] = (
  [
    { radix: 10, length: 16, count: 40, tweakLength: 8, shared: true, alphabet: '0123456789' },
    { radix: 10, length: 9, count: 17, tweakLength: 0, shared: true },
    { radix: 62, length: 32, count: 11, tweakLength: 40, shared: true },
    { radix: 36, length: 20, count: 13, tweakLength: 30, shared: false },
    { radix: 65_536, length: 7, count: 5, tweakLength: 61, shared: false },
    { radix: 10, length: 16, count: 1, tweakLength: 12, shared: false },
  ] as const
).map(({ radix, length, count, tweakLength, shared, ...rest }) => ({
  radix,
  ...rest,
  records: Array.from({ length: count }, () =>
    Array.from({ length }, () => randomBytes(2).readUInt16LE() % radix),
  ),
  tweaks: Array.from(
    { length: shared ? 1 : count },
    () => new Uint8Array(randomBytes(tweakLength)),
  ),
}))

/** Calls of the cipher for records that stand in one chunk: (q - k) + 10 k, of the longest. */
function waves({ radix, records, tweaks }: Shape): number {
  const { b } = sizes(radix, records[0]!.length)
  return 10 + (tweaks.length === 1 ? 0 : Math.ceil((tweaks[0]!.length + b + 1) / 16) - 1)
}

/** Calls and blocks of a batch whose records are taken `chunk` at a time. */
function cost(batch: readonly Shape[], chunk: number) {
  const each = batch.flatMap((shape) => shape.records.map(() => waves(shape)))
  let calls = 0
  for (let at = 0; at < each.length; at += chunk) calls += Math.max(...each.slice(at, at + chunk))
  return { calls, blocks: each.reduce((sum, one) => sum + one, 0) }
}

function callsOf(name: string, { calls, blocks }: { calls: number; blocks: number }) {
  switch (name) {
    case 'one call':
      return { C_EncryptInit: calls, C_Encrypt: calls }
    case 'multi-part':
      return { C_EncryptInit: 1, C_EncryptUpdate: calls, C_EncryptFinal: 1 }
    default:
      return { C_EncryptInit: blocks, C_Encrypt: blocks }
  }
}

describe.each(Object.entries(MODES))('%s', (name, { mechanism, options }) => {
  const run = (batch: NativeBatch, chunkBlocks = 1024, cancel = newCancel(), with_ = key) =>
    addon.feistelOnToken(id, session, mechanism, with_, { ...options, chunkBlocks }, batch, cancel)

  it.each([false, true])(
    'gives what the standard says in the calls of the formula, decrypt %s',
    async (decrypt) => {
      for (const chunk of [1024, 23, 1]) {
        const batch = toBatch(aes, false, decrypt, shapes)
        const { result, calls } = await counted(() => run(batch, chunk))
        expect(result).toEqual(ALL_WELL)
        for (const [at, shape] of shapes.entries()) {
          expect(recordsOf(batch.groups[at]!, shape.alphabet)).toEqual(
            expected(aes, false, decrypt, shape),
          )
        }
        expect(calls).toEqual(callsOf(name, cost(shapes, chunk)))
      }
    },
  )

  it('FF3-1 takes eight calls, whatever the number of values', async () => {
    const seven = shapes.map((shape) => ({ ...shape, tweaks: [new Uint8Array(randomBytes(7))] }))
    const batch = toBatch(aes, true, false, seven)
    const { result, calls } = await counted(() => run(batch))
    expect(result).toEqual(ALL_WELL)
    for (const [at, shape] of seven.entries()) {
      expect(recordsOf(batch.groups[at]!, shape.alphabet)).toEqual(
        expected(aes, true, false, shape),
      )
    }
    const values = seven.reduce((sum, { records }) => sum + records.length, 0)
    expect(calls).toEqual(callsOf(name, { calls: 8, blocks: 8 * values }))
  })

  it('blocks come back as AES of each', async () => {
    const input = new Uint8Array(randomBytes(16 * 37))
    const output = new Uint8Array(input.length)
    const { result, calls } = await counted(() =>
      addon.blocksOnToken(
        id,
        session,
        mechanism,
        key,
        { ...options, chunkBlocks: 10 },
        input,
        output,
      ),
    )
    expect(result).toEqual(ALL_WELL)
    const blocks = Array.from({ length: 37 }, (_, at) => aes(input.subarray(16 * at, 16 * at + 16)))
    expect(output).toEqual(new Uint8Array(Buffer.concat(blocks)))
    expect(calls).toEqual(callsOf(name, { calls: 4, blocks: 37 }))
  })

  it('a refusal names the function and writes nothing', async () => {
    const batch = toBatch(aes, false, false, shapes)
    const outcome = await run(batch, 1024, newCancel(), 0xdead_beefn as ObjectHandle)
    expect(outcome).toEqual({ ...ALL_WELL, rv: 0x82, fn: 'C_EncryptInit' })
    expect(batch.groups.every(({ output }) => output.every((symbol) => symbol === 0))).toBe(true)
    const closed = cryptoki.openSession(cryptoki.sessionInfo(session).slotId, { readWrite: false })
    cryptoki.closeSession(closed)
    const blocks = new Uint8Array(16)
    const all = { ...options, chunkBlocks: 8 }
    expect(
      await addon.blocksOnToken(id, closed, mechanism, key, all, blocks, new Uint8Array(16)),
    ).toEqual({ ...ALL_WELL, rv: 0xb3, fn: 'C_EncryptInit' })
  })

  it('a bad symbol costs no call, a cancelled job leaves the session free for others', async () => {
    const bad = toBatch(aes, false, false, shapes)
    bad.groups[1]!.input[9 * 3] = 10
    const { result, calls } = await counted(() => run(bad))
    expect(result).toEqual({ ...ALL_WELL, invalid: 40 + 3 })
    expect(calls).toEqual({})

    const big = toBatch(aes, false, false, [
      {
        radix: 10,
        records: Array<number[]>(20_000).fill(Array<number>(16).fill(1)),
        tweaks: [new Uint8Array()],
      },
    ])
    const cancel = newCancel()
    const running = run(big, 1, cancel)
    setTimeout(() => Atomics.store(cancel, 0, 1), 5)
    expect(await running).toEqual({ ...ALL_WELL, aborted: true })
    expect(big.groups[0]!.output.every((symbol) => symbol === 0)).toBe(true)
    expect(await run(toBatch(aes, false, false, shapes))).toEqual(ALL_WELL)
  })

  it('a session is one job’s at a time', async () => {
    const records = Array<number[]>(2000).fill(Array<number>(16).fill(1))
    const big = () =>
      toBatch(aes, false, false, [{ radix: 10, records, tweaks: [new Uint8Array()] }])
    const [one, two] = [big(), big()]
    const { result, calls } = await counted(() => Promise.all([run(one, 100), run(two, 100)]))
    expect(result).toEqual([ALL_WELL, { ...ALL_WELL, rv: 0x90, fn: 'C_EncryptInit' }])
    expect(calls).toEqual(callsOf(name, { calls: 200, blocks: 20_000 }))
    expect(two.groups[0]!.output.every((symbol) => symbol === 0)).toBe(true)
    expect(await run(two, 100)).toEqual(ALL_WELL)
    expect(two.groups[0]!.output).toEqual(one.groups[0]!.output)
  })

  it('arguments are checked', () => {
    const batch = toBatch(aes, false, false, shapes)
    const good = { ...options, chunkBlocks: 8 }
    const bytes = new Uint8Array(32)
    for (const wrong of [
      undefined,
      {},
      { ...good, chunkBlocks: 0 },
      { ...good, multiPart: 1 },
      { ...good, begun: undefined },
      { ...good, leaveOpen: 0 },
      { ...good, singleBlocks: undefined },
    ]) {
      const all = wrong as NativeCipherOptions
      expect(() =>
        addon.feistelOnToken(id, session, mechanism, key, all, batch, newCancel()),
      ).toThrow(TypeError)
      expect(() =>
        addon.blocksOnToken(id, session, mechanism, key, all, bytes, new Uint8Array(32)),
      ).toThrow(TypeError)
    }
    for (const [input, output] of [
      [new Uint8Array(), new Uint8Array()],
      [new Uint8Array(17), new Uint8Array(17)],
      [bytes, new Uint8Array(16)],
      [bytes, bytes],
      [bytes.subarray(0, 16), bytes.subarray(15, 31)],
      [bytes, new Uint8Array(new SharedArrayBuffer(32))],
    ] as const) {
      expect(() => addon.blocksOnToken(id, session, mechanism, key, good, input, output)).toThrow(
        TypeError,
      )
    }
    expect(() =>
      addon.feistelOnToken(99, session, mechanism, key, good, batch, newCancel()),
    ).toThrow(TypeError)
    expect(() => addon.feistelOnToken(id, session, {}, key, good, batch, newCancel())).toThrow(
      TypeError,
    )
    expect(() =>
      addon.feistelOnToken(id, session, mechanism, key, good, batch, new Int32Array(1)),
    ).toThrow(TypeError)
  })
})

it('an operation may stand open between jobs, and does not when one fails', async () => {
  const batch = () => toBatch(aes, false, false, shapes)
  const mode = { multiPart: true, singleBlocks: false, chunkBlocks: 1024 }
  const job = (how: typeof alone, one = batch(), cancel = newCancel()) =>
    counted(() => addon.feistelOnToken(id, session, ecb, key, { ...mode, ...how }, one, cancel))
  const whole = batch()
  const { calls } = await job(alone, whole)
  const { C_EncryptUpdate } = calls
  expect(calls).toEqual({ C_EncryptInit: 1, C_EncryptUpdate, C_EncryptFinal: 1 })
  const first = await job({ begun: false, leaveOpen: true })
  expect(first).toEqual({ result: LEFT_OPEN, calls: { C_EncryptInit: 1, C_EncryptUpdate } })
  const next = batch()
  const second = await job({ begun: true, leaveOpen: true }, next)
  expect(second).toEqual({ result: LEFT_OPEN, calls: { C_EncryptUpdate } })
  expect(next.groups.map(({ output }) => output)).toEqual(whole.groups.map((g) => g.output))
  const cancelled = await job({ begun: true, leaveOpen: true }, batch(), newCancel().fill(1))
  expect(cancelled).toEqual({ result: { ...LEFT_OPEN, aborted: true }, calls: {} })
  const last = await job({ begun: true, leaveOpen: false })
  expect(last).toEqual({ result: ALL_WELL, calls: { C_EncryptUpdate, C_EncryptFinal: 1 } })
  const nothingThere = await job({ begun: true, leaveOpen: true })
  expect(nothingThere.result).toMatchObject({ rv: 0x91, fn: 'C_EncryptUpdate', open: false })
  expect(await job(alone)).toMatchObject({ result: ALL_WELL })
})

it('a module that is closed between two calls refuses the next one', async () => {
  const own = openCryptoki({ path: hsm.module })
  const batch = toBatch(aes, false, false, shapes)
  own.close()
  cryptoki.close()
  const options = { multiPart: true, singleBlocks: false, chunkBlocks: 8, ...alone }
  const outcome = await addon.feistelOnToken(id, session, ecb, key, options, batch, newCancel())
  expect(outcome).toEqual({ ...ALL_WELL, rv: 0x190, fn: 'C_EncryptInit' })
})
