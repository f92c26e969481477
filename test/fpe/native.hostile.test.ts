/** Wrong arguments give TypeError; buffers that vanish under a job do no harm. */
import { Worker } from 'node:worker_threads'

import { describe, expect, it } from 'vitest'

import { ADDON_PATH, loadAddon } from '../../src/addon.ts'
import type { FeistelAddon, NativeAesKey, NativeBatch } from '../../src/feistel-addon.ts'
import type { FeistelGroup } from '../../src/ports.ts'

const addon = loadAddon() as FeistelAddon
const key = addon.aesOpen(new Uint8Array(16))!
const newCancel = () => new Int32Array(new SharedArrayBuffer(4))
const ALL_WELL = { rv: 0, fn: '', invalid: -1, aborted: false, open: false }

const decimal = (count: number, changes: object = {}): FeistelGroup => ({
  radix: 10,
  length: 16,
  count,
  input: new Uint8Array(16 * count),
  output: new Uint8Array(16 * count),
  tweakLength: 2,
  tweaks: new Uint8Array(2),
  prefix: new Uint8Array(16),
  ...changes,
})
const batchOf = (...groups: FeistelGroup[]): NativeBatch => ({
  ff3_1: false,
  decrypt: false,
  groups,
})

function detached(length: number): Uint8Array {
  const array = new Uint8Array(length)
  structuredClone(array, { transfer: [array.buffer] })
  return array
}

const both = new Uint8Array(128)
const shrunk = new Uint8Array(new ArrayBuffer(64, { maxByteLength: 64 }))
shrunk.buffer.resize(63)

const WRONG_GROUPS: Record<string, object> = {
  'radix 1': { radix: 1 },
  'radix 65537': { radix: 65_537 },
  'radix not an integer': { radix: 10.5 },
  'radix not a number': { radix: '10' },
  'radix NaN': { radix: NaN },
  'length 0': { length: 0, input: new Uint8Array(), output: new Uint8Array() },
  'length 1': { length: 1, input: new Uint8Array(4), output: new Uint8Array(4) },
  'length 193': { radix: 2, length: 193, input: new Uint8Array(772), output: new Uint8Array(772) },
  'half of 97 bits': {
    radix: 3,
    length: 122,
    count: 1,
    input: new Uint8Array(122),
    output: new Uint8Array(122),
  },
  'half of radix 10 too long': {
    length: 57,
    count: 1,
    input: new Uint8Array(57),
    output: new Uint8Array(57),
  },
  'half of radix 65536 too long': {
    radix: 65_536,
    length: 13,
    count: 1,
    input: new Uint16Array(13),
    output: new Uint16Array(13),
  },
  'count negative': { count: -1 },
  'count too large for the input': { count: 5 },
  'count 2^32': { count: 2 ** 32 },
  'count that wraps with the length': { count: 2 ** 28 + 4 },
  'input too short': { input: new Uint8Array(63) },
  'input shrunk': { input: shrunk },
  'output too short': { output: new Uint8Array(63) },
  'output too long': { output: new Uint8Array(65) },
  'input not a typed array': { input: Array(64).fill(0) },
  'input a DataView': { input: new DataView(new ArrayBuffer(64)) },
  'input clamped': { input: new Uint8ClampedArray(64) },
  'input signed': { input: new Int8Array(64) },
  'input 32 bits': { input: new Uint32Array(64) },
  'input and output of different types': { output: new Uint16Array(64) },
  'bytes for radix 257': { radix: 257 },
  'input shared': { input: new Uint8Array(new SharedArrayBuffer(64)) },
  'output shared': { output: new Uint8Array(new SharedArrayBuffer(64)) },
  'tweaks shared memory': { tweaks: new Uint8Array(new SharedArrayBuffer(2)) },
  'input detached': { input: detached(64) },
  'output detached': { output: detached(64) },
  'tweaks detached': { tweaks: detached(2) },
  'prefix detached': { prefix: detached(16) },
  'tweaks of another length': { tweaks: new Uint8Array(3) },
  'tweakLength too large': { tweakLength: 9 },
  'tweakLength not an integer': { tweakLength: 1.5 },
  'tweaks of words': { tweaks: new Uint16Array(2) },
  'no tweaks': { tweaks: undefined },
  'prefix too short': { prefix: new Uint8Array(15) },
  'no prefix': { prefix: new Uint8Array() },
  'overlapping arrays': { input: both.subarray(0, 64), output: both.subarray(63, 127) },
  'output over tweaks': { output: both.subarray(0, 64), tweaks: both.subarray(62, 64) },
  'characters of words': { characters: new Uint16Array([48, 0, 10]) },
  'characters null': { characters: null },
  'characters empty': { characters: new Uint8Array() },
  'characters cut': { characters: new Uint8Array([48, 0]) },
  'characters too few': { characters: new Uint8Array([48, 0, 9]) },
  'characters too many': { characters: new Uint8Array([48, 0, 11]) },
  'an empty run': { characters: new Uint8Array([48, 0, 10, 65, 0, 0]) },
  'a character twice': { characters: new Uint8Array([48, 0, 9, 48, 9, 1]) },
  'a numeral twice': { characters: new Uint8Array([48, 0, 9, 65, 8, 1]) },
  'characters beyond ASCII': { characters: new Uint8Array([120, 0, 10]) },
  'numerals beyond the radix': { characters: new Uint8Array([48, 0, 9, 65, 10, 1]) },
  'characters in words': {
    input: new Uint16Array(64),
    output: new Uint16Array(64),
    characters: new Uint8Array([48, 0, 10]),
  },
}

describe.each([
  ['at once', (batch: unknown) => addon.feistelOnAesSync(key, 8, batch as NativeBatch)],
  [
    'on a thread',
    (batch: unknown) => addon.feistelOnAes(key, 8, batch as NativeBatch, newCancel()),
  ],
])('%s', (_, run) => {
  it.each(Object.entries(WRONG_GROUPS))('%s is refused', (_, changes) => {
    const group = decimal(4, changes)
    expect(() => run(batchOf(group))).toThrow(TypeError)
    expect(() => run(batchOf(decimal(4), group))).toThrow(TypeError)
  })

  it('arrays of other groups are not written', () => {
    const one = decimal(4)
    expect(() => run(batchOf(one, decimal(4, { output: one.output })))).toThrow(TypeError)
    expect(() => run(batchOf(one, decimal(4, { output: one.input })))).toThrow(TypeError)
    expect(() => run(batchOf(one, decimal(4, { output: one.input.subarray(0) })))).toThrow(
      TypeError,
    )
  })

  it('things that are not a batch are refused', () => {
    const odd = [
      undefined,
      null,
      1,
      'x',
      {},
      [],
      { ...batchOf(), groups: 1 },
      { ...batchOf(), ff3_1: 1 },
    ]
    const groups = [[undefined], [null], [1], [{}], Array(3), { length: 2 }]
    for (const one of odd) expect(() => run(one)).toThrow(TypeError)
    for (const one of groups) expect(() => run({ ...batchOf(), groups: one })).toThrow(TypeError)
    expect(() => run({ ...batchOf(decimal(1)), decrypt: 0 })).toThrow(TypeError)
  })

  it('FF3-1 takes tweaks of 7 bytes and no prefix', () => {
    const seven = { tweakLength: 7, tweaks: new Uint8Array(7), prefix: new Uint8Array() }
    for (const wrong of [
      { ...seven, prefix: new Uint8Array(16) },
      { ...seven, tweakLength: 8, tweaks: new Uint8Array(8) },
    ]) {
      expect(() => run({ ...batchOf(decimal(1, wrong)), ff3_1: true })).toThrow(TypeError)
    }
  })

  it('a getter that pulls a buffer away is seen', () => {
    const group = decimal(4)
    const bad = Object.defineProperty({ ...group }, 'characters', {
      get() {
        structuredClone(group.output, { transfer: [group.output.buffer as ArrayBuffer] })
      },
    })
    expect(() => run(batchOf(bad))).toThrow(TypeError)
    const thrown = new RangeError('from the getter')
    const failing = Object.defineProperty(decimal(4), 'radix', {
      get() {
        throw thrown
      },
    })
    expect(() => run(batchOf(failing))).toThrow(thrown)
  })

  it('no groups and groups without records are nothing to do', async () => {
    expect(await run(batchOf())).toEqual(ALL_WELL)
    expect(await run(batchOf(decimal(0), decimal(0)))).toEqual(ALL_WELL)
    const mixed = batchOf(decimal(0), decimal(3), decimal(0))
    expect(await run(mixed)).toEqual(ALL_WELL)
    expect(mixed.groups[1]!.output.some((digit) => digit !== 0)).toBe(true)
  })
})

describe('other arguments', () => {
  it.each([0, 65_537, 1.5, -1, NaN, '8', undefined])('chunkBlocks %s is refused', (chunk) => {
    expect(() => addon.feistelOnAesSync(key, chunk as number, batchOf(decimal(1)))).toThrow(
      TypeError,
    )
    expect(() =>
      addon.feistelOnAes(key, chunk as number, batchOf(decimal(1)), newCancel()),
    ).toThrow(TypeError)
  })

  it.each([
    undefined,
    new Int32Array(1),
    new Int32Array(new SharedArrayBuffer(0)),
    new Uint32Array(new SharedArrayBuffer(4)),
    new SharedArrayBuffer(4),
  ])('cancel %s is refused', (cancel) => {
    expect(() => addon.feistelOnAes(key, 8, batchOf(decimal(1)), cancel as Int32Array)).toThrow(
      TypeError,
    )
  })

  it.each([{}, undefined, Object.create(key), new Proxy(key, {}), Buffer.alloc(16)])(
    'only keys of aesOpen are keys',
    (wrong) => {
      const other = wrong as NativeAesKey
      expect(() => addon.feistelOnAesSync(other, 8, batchOf(decimal(1)))).toThrow(TypeError)
      expect(() => addon.feistelOnAes(other, 8, batchOf(decimal(1)), newCancel())).toThrow(
        TypeError,
      )
      expect(() => addon.aesClose(other)).toThrow(TypeError)
    },
  )

  it.each([0, 1, 15, 17, 31, 33, 64])('a key of %d bytes is refused', (length) => {
    expect(() => addon.aesOpen(new Uint8Array(length))).toThrow(TypeError)
  })

  it('keys are bytes of one’s own', () => {
    for (const wrong of [
      undefined,
      'k'.repeat(16),
      new Uint16Array(16),
      new Uint8Array(new SharedArrayBuffer(16)),
      detached(16),
    ]) {
      expect(() => addon.aesOpen(wrong as Uint8Array)).toThrow(TypeError)
    }
  })

  it('too few and too many arguments are refused', () => {
    for (const name of [
      'feistelOnAes',
      'feistelOnAesSync',
      'aesOpen',
      'aesClose',
      'feistelOnToken',
      'blocksOnToken',
    ] as const) {
      const call = (...all: unknown[]): unknown =>
        Reflect.apply(Reflect.get(addon, name), addon, all)
      expect(() => call()).toThrow(TypeError)
      expect(() => call(...Array<unknown>(9).fill(key))).toThrow(TypeError)
    }
  })
})

describe('while a job runs', () => {
  const COUNT = 50_000

  it('inputs may be detached: it works on copies', async () => {
    const calm = batchOf(decimal(COUNT))
    const robbed = batchOf(decimal(COUNT))
    expect(await addon.feistelOnAes(key, 1024, calm, newCancel())).toEqual(ALL_WELL)
    const running = addon.feistelOnAes(key, 1024, robbed, newCancel())
    for (const array of [
      robbed.groups[0]!.input,
      robbed.groups[0]!.tweaks,
      robbed.groups[0]!.prefix,
    ]) {
      structuredClone(array, { transfer: [array.buffer as ArrayBuffer] })
    }
    expect(await running).toEqual(ALL_WELL)
    expect(robbed.groups[0]!.output).toEqual(calm.groups[0]!.output)
  })

  it('an output that was detached or shrunk is an error', async () => {
    const transferred = decimal(COUNT)
    const first = addon.feistelOnAes(key, 1024, batchOf(transferred), newCancel())
    const moved = structuredClone(transferred.output, {
      transfer: [transferred.output.buffer as ArrayBuffer],
    })
    await expect(first).rejects.toThrow(TypeError)
    expect(moved.every((digit) => digit === 0)).toBe(true)

    const buffer = new ArrayBuffer(16 * COUNT, { maxByteLength: 16 * COUNT })
    const second = addon.feistelOnAes(
      key,
      1024,
      batchOf(decimal(COUNT, { output: new Uint8Array(buffer) })),
      newCancel(),
    )
    buffer.resize(0)
    await expect(second).rejects.toThrow(TypeError)
  })

  it('a worker may be terminated', async () => {
    const program = `
      const { parentPort } = require('node:worker_threads')
      const addon = require(${JSON.stringify(ADDON_PATH)})
      const key = addon.aesOpen(new Uint8Array(32))
      const count = 200000
      const cancel = new Int32Array(new SharedArrayBuffer(4))
      for (let job = 0; job < 6; job++) {
        addon.feistelOnAes(key, 1024, { ff3_1: false, decrypt: false, groups: [{
          radix: 10, length: 16, count, input: new Uint8Array(16 * count), output: new Uint8Array(16 * count),
          tweakLength: 0, tweaks: new Uint8Array(), prefix: new Uint8Array(16) }] }, cancel)
      }
      parentPort.postMessage('running')
      setInterval(() => undefined, 1000)`
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(program, { eval: true })
      await new Promise((resolve) => worker.once('message', resolve))
      await worker.terminate()
    }
    expect(await addon.feistelOnAes(key, 1024, batchOf(decimal(1)), newCancel())).toEqual(ALL_WELL)
  })
})
