/**
 * Runs values of any radix, length and tweak under one key in shared calls: natively where the block cipher can
 * and a half fits NATIVE_HALF_BITS, else as state machines in lockstep. Both give the same results.
 * A million values never hold the event loop for more than some milliseconds: see {@link inSlices}.
 */
import { concat } from '../bytes.ts'
import { FpeError } from '../errors.ts'
import type { BlockCipher, FeistelGroup } from '../ports.ts'
import { withIndex } from './error-place.ts'
import { ff1Steps } from './ff1.ts'
import { ff3_1Steps } from './ff3-1.ts'
import { type Shape, shapeOf } from './parameters.ts'
import { prefixes } from './prefix.ts'
import type { Direction, FpeRecord, Method, RunRecords } from './types.ts'
import { breathe, checkAborted, runWaves } from './waves.ts'

/** Values per batch. */
export const SLICE = 4096
/** Symbols per batch, so that long values hold the event loop no longer than short ones. */
const SLICE_SYMBOLS = 1 << 18
/** Batches on their way at a time: one is prepared while another is at the key. */
const IN_FLIGHT = 2

/** Values of one shape. Results are written to `output`. */
export interface Group extends Omit<FeistelGroup, 'radix' | 'length' | 'tweakLength' | 'prefix'> {
  readonly shape: Shape
}

/** A numeral array as small as the radix allows. */
export const numeralArray = (radix: number, length: number): Uint8Array | Uint16Array =>
  radix <= 256 ? new Uint8Array(length) : new Uint16Array(length)

/**
 * FF3-1 wants a key whose bytes are reversed, FF1 one whose bytes are not: the other one gives values that no
 * one else can read.
 * @throws FpeError KEY_NOT_REVERSED, KEY_INVALID
 */
export function checkKey(cipher: BlockCipher, method: Method): void {
  if (method === 'FF3-1' && cipher.reversedKey !== true) {
    throw new FpeError('KEY_NOT_REVERSED', 'FF3-1 needs a key whose bytes are reversed', {
      expected: 'a block cipher marked reversedKey',
      hint: 'import the key in reverse byte order (SP 800-38G §5.2 uses AES under REVB(K))',
    })
  }
  if (method === 'FF1' && cipher.reversedKey === true) {
    throw new FpeError('KEY_INVALID', 'the bytes of this key are reversed, for FF3-1 only', {
      expected: 'a block cipher not marked reversedKey',
      hint: 'use a key of its own for FF1',
    })
  }
}

/**
 * Runs all groups in shared calls.
 * @throws FpeError ABORTED, SYMBOL_INVALID with the index over all groups; what the block cipher throws.
 */
export async function runGroups(
  cipher: BlockCipher,
  method: Method,
  direction: Direction,
  groups: readonly Group[],
  signal?: AbortSignal,
): Promise<void> {
  checkAborted(signal)
  const wanted = groups.flatMap(({ shape: { ff1, tweakLength }, tweaks }) =>
    ff1 === undefined
      ? []
      : [{ parameters: ff1, tweak: tweaks.length === tweakLength ? tweaks : undefined }],
  )
  const states = wanted.length === 0 ? [] : await prefixes(cipher, wanted)
  const none = new Uint8Array()
  const started = groups.map((group, i) => ({ group, prefix: states[i] ?? none }))
  const { feistel } = cipher
  const native = feistel === undefined ? [] : started.filter(({ group }) => group.shape.native)
  if (feistel !== undefined && native.length > 0) {
    await feistel({
      method,
      direction,
      signal,
      groups: native.map(({ group: { shape, ...rest }, prefix }) => ({
        ...rest,
        prefix,
        radix: shape.radix,
        length: shape.length,
        tweakLength: shape.tweakLength,
      })),
    })
  }
  if (native.length < started.length) {
    const others = started.filter(({ group }) => feistel === undefined || !group.shape.native)
    await runInWaves(cipher, direction, others, signal)
  }
}

async function runInWaves(
  cipher: BlockCipher,
  direction: Direction,
  started: readonly { readonly group: Group; readonly prefix: Uint8Array }[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const machines = started.flatMap(({ group: { shape, count, input, tweaks }, prefix }) => {
    const { radix, length, tweakLength, ff1 } = shape
    const shared = tweaks.length === tweakLength
    return Array.from({ length: count }, (_, i) => {
      const numerals = input.subarray(i * length, (i + 1) * length)
      const tweak = shared ? tweaks : tweaks.subarray(i * tweakLength, (i + 1) * tweakLength)
      return ff1 === undefined
        ? ff3_1Steps(direction, numerals, tweak, radix)
        : ff1Steps(direction, numerals, tweak, ff1, prefix, shared)
    })
  })
  const results = await runWaves(cipher, machines, signal)
  let at = 0
  for (const { group } of started) {
    for (let i = 0; i < group.count; i++) {
      const result = results[at++] ?? new Uint16Array()
      group.output.set(result, i * group.shape.length)
      result.fill(0)
    }
  }
}

/** What {@link inSlices} reports and obeys. */
interface SliceOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((done: number, total: number) => void) | undefined
  /** Symbols per batch, and values as many as have them; default: {@link SLICE} values. */
  readonly sliceSymbols?: number
}

/**
 * Splits `total` values into batches, two on their way at a time; `sizeOf` tells the symbols of a value and may refuse
 * it. Other work of the process gets a turn between batches. The first failure ends it, once the batches on their way are done.
 * @throws FpeError ABORTED; what `sizeOf` and `run` throw.
 */
export async function inSlices(
  total: number,
  sizeOf: (at: number) => number,
  run: (from: number, to: number) => Promise<void>,
  { signal, onProgress, sliceSymbols }: SliceOptions,
): Promise<void> {
  let next = 0
  let done = 0
  let failed = false
  const take = (): [number, number] => {
    const from = next
    const end = sliceSymbols === undefined ? Math.min(total, from + SLICE) : total
    const most = sliceSymbols ?? SLICE_SYMBOLS
    for (let symbols = 0; next < end && symbols < most; next++) symbols += sizeOf(next)
    return [from, next]
  }
  const worker = async (): Promise<void> => {
    try {
      do {
        if (next > 0) await breathe()
        checkAborted(signal)
        // Taken and read in one turn: a caller's array is not what it was a turn ago.
        const [from, to] = take()
        if (to > from) await run(from, to)
        done += to - from
        onProgress?.(done, total)
      } while (next < total && !failed)
    } catch (error) {
      failed = true
      throw error
    }
  }
  const workers = [worker()]
  while (workers.length < IN_FLIGHT && next < total) workers.push(worker())
  const outcomes = await Promise.allSettled(workers)
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason as Error
}

/** @throws FpeError as {@link shapeOf} and SYMBOL_INVALID, with the record's index. */
function checkRecord(method: Method, { radix, numerals, tweak }: FpeRecord, index: number): Shape {
  let shape: Shape
  try {
    shape = shapeOf(method, radix, numerals.length, tweak.length)
  } catch (error) {
    throw withIndex(error, index)
  }
  for (let i = 0; i < numerals.length; i++) {
    if ((numerals[i] ?? radix) >= radix) {
      throw new FpeError('SYMBOL_INVALID', 'a numeral is out of range', {
        index,
        where: `symbol ${i + 1}`,
        expected: `an integer from 0 to ${radix - 1}`,
      })
    }
  }
  return shape
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a === b || (a.length === b.length && a.every((byte, i) => byte === b[i]))

/** A copy of tweaks of one length as a group wants them: one, where all are equal. */
export function joinTweaks(tweaks: readonly Uint8Array[]): Uint8Array {
  const [first = new Uint8Array()] = tweaks
  return tweaks.every((tweak) => sameBytes(tweak, first))
    ? new Uint8Array(first)
    : concat(...tweaks)
}

/** Copies the records of one shape together. */
function gather(shape: Shape, records: readonly FpeRecord[]): Group {
  const { radix, length } = shape
  const count = records.length
  const input = numeralArray(radix, count * length)
  for (const [i, { numerals }] of records.entries()) input.set(numerals, i * length)
  const tweaks = joinTweaks(records.map(({ tweak }) => tweak))
  return { shape, count, input, output: numeralArray(radix, count * length), tweaks }
}

async function runSlice(
  cipher: BlockCipher,
  method: Method,
  direction: Direction,
  records: readonly FpeRecord[],
  from: number,
  signal: AbortSignal | undefined,
): Promise<Uint16Array[]> {
  const places = new Map<Shape, number[]>()
  for (const [at, record] of records.entries()) {
    const shape = checkRecord(method, record, from + at)
    const sameShape = places.get(shape)
    if (sameShape === undefined) places.set(shape, [at])
    else sameShape.push(at)
  }
  const groups = [...places].map(([shape, at]) =>
    gather(
      shape,
      at.flatMap((i) => records[i] ?? []),
    ),
  )
  try {
    await runGroups(cipher, method, direction, groups, signal)
    const results = new Array<Uint16Array>(records.length)
    for (const [g, at] of [...places.values()].entries()) {
      const group = groups[g]
      if (group === undefined) continue
      const { length } = group.shape
      for (const [i, place] of at.entries()) {
        results[place] = Uint16Array.from(group.output.subarray(i * length, (i + 1) * length))
      }
    }
    return results
  } finally {
    for (const { input, output } of groups) {
      input.fill(0)
      output.fill(0)
    }
  }
}

/** See {@link RunRecords}. @throws FpeError with `index` for a bad record, ABORTED; what the block cipher throws. */
export const runRecords: RunRecords = async (
  cipher,
  method,
  direction,
  records,
  { signal } = {},
) => {
  checkKey(cipher, method)
  const results = new Array<Uint16Array>(records.length)
  const sizeOf = (at: number): number => records[at]?.numerals.length ?? 0
  const run = async (from: number, to: number): Promise<void> => {
    const slice = records.slice(from, to)
    const encrypted = await runSlice(cipher, method, direction, slice, from, signal)
    for (const [i, result] of encrypted.entries()) results[from + i] = result
  }
  await inSlices(records.length, sizeOf, run, { signal })
  return results
}
