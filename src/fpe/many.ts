/**
 * The forms for many values: strings and packed characters, batch by batch.
 * Alphabets of single ASCII characters travel as bytes, all values of one length in one array; what is not in the
 * alphabet is found by the check of the batch, never by a conversion that drops bits of a character.
 */
import { wipe } from '../bytes.ts'
import { FpeError } from '../errors.ts'
import { type Ascii, type CharacterGroup, runCharacters } from './ascii.ts'
import { type Setting, checkList, checkText, checkTweak, checkValue } from './domain.ts'
import { inSlices, joinTweaks, numeralArray, runGroups } from './engine.ts'
import { withIndex } from './error-place.ts'
import { type Shape, shapeOf } from './parameters.ts'
import type { Direction, ManyOptions, PackedOptions } from './types.ts'

/** Characters per string that results are cut from: what a kept result may keep alive. */
const CUT_FROM = 1 << 16

/** Packed characters per batch of native rounds: they cost this thread no more than a copy. */
const NATIVE_SLICE_SYMBOLS = 1 << 20

const encoder = new TextEncoder()

/** One tweak for all values, or one each. */
type Tweaks = Uint8Array | readonly Uint8Array[]

/** Values of one shape, as places in a slice; without places: all of it. */
interface Bucket {
  readonly shape: Shape
  readonly count: number
  readonly tweaks: Uint8Array
  readonly places: readonly number[] | undefined
}

/**
 * Buckets in order of their first value.
 * @throws FpeError LENGTH_INVALID, DOMAIN_TOO_SMALL, TWEAK_INVALID with the index of the first value of that shape
 */
function bucketsOf(
  setting: Setting,
  lengths: readonly number[],
  tweak: Tweaks,
  from: number,
): Bucket[] {
  const { method, alphabet } = setting
  const shape = (length: number, one: unknown, at: number): Shape => {
    try {
      checkTweak(one)
      checkValue(setting, length, one)
      return shapeOf(method, alphabet.radix, length, one.length)
    } catch (error) {
      throw withIndex(error, from + at)
    }
  }
  const count = lengths.length
  const [first = 0] = lengths
  if (tweak instanceof Uint8Array && lengths.every((length) => length === first)) {
    return [{ shape: shape(first, tweak, 0), count, tweaks: tweak, places: undefined }]
  }
  const open = new Map<Shape, { places: number[]; tweaks: Uint8Array[] }>()
  for (const [at, length] of lengths.entries()) {
    const own = tweak instanceof Uint8Array ? tweak : tweak[from + at]
    const key = shape(length, own, at)
    let bucket = open.get(key)
    if (bucket === undefined) {
      bucket = { places: [], tweaks: [] }
      open.set(key, bucket)
    }
    bucket.places.push(at)
    bucket.tweaks.push(own as Uint8Array)
  }
  return Array.from(open, ([key, { places, tweaks }]) => ({
    shape: key,
    count: places.length,
    tweaks: joinTweaks(tweaks),
    places: places.length === count ? undefined : places,
  }))
}

/** The first value of a slice that is not made of the alphabet, as the error it deserves; else `error`. */
function blame(
  { alphabet }: Setting,
  count: number,
  valueAt: (at: number) => string,
  from: number,
  error: unknown,
): unknown {
  if (!(error instanceof FpeError) || error.code !== 'SYMBOL_INVALID') return error
  for (let at = 0; at < count; at++) {
    try {
      alphabet.encode(valueAt(at))
    } catch (found) {
      return withIndex(found, from + at)
    }
  }
  return error
}

/** Cuts the text of a group into its values. */
function cut(
  characters: Uint8Array,
  length: number,
  put: (at: number, value: string) => void,
): void {
  const buffer = Buffer.from(characters.buffer, characters.byteOffset, characters.length)
  const step = length * Math.max(1, Math.floor(CUT_FROM / length))
  let at = 0
  for (let start = 0; start < buffer.length; start += step) {
    const text = buffer.toString('latin1', start, Math.min(buffer.length, start + step))
    for (let i = 0; i < text.length; i += length) put(at++, text.slice(i, i + length))
  }
}

/** Where results go. */
type Put = (at: number, value: string) => void

/** A slice of values over an ASCII alphabet. */
async function runAsciiSlice(
  setting: Setting,
  ascii: Ascii,
  direction: Direction,
  values: readonly string[],
  from: number,
  tweak: Tweaks,
  signal: AbortSignal | undefined,
  put: Put,
): Promise<void> {
  const { cipher, method } = setting
  const lengths = values.map(({ length }) => length)
  const groups: (CharacterGroup & Bucket)[] = []
  try {
    for (const bucket of bucketsOf(setting, lengths, tweak, from)) {
      const text = (bucket.places?.map((at) => values[at]) ?? values).join('')
      const input = new Uint8Array(text.length)
      groups.push({ ...bucket, input, output: input })
      const { read, written } = encoder.encodeInto(text, input)
      // A character beyond ASCII takes more than one byte: not all of the text fits then.
      if (read !== text.length || written !== text.length) {
        throw new FpeError('SYMBOL_INVALID', 'a symbol is not in the alphabet')
      }
    }
    await runCharacters(cipher, method, direction, ascii, groups, signal)
    for (const { shape, output, places } of groups) {
      cut(output, shape.length, (i, value) => put(from + (places?.[i] ?? i), value))
    }
  } catch (error) {
    throw blame(setting, values.length, (at) => values[at] ?? '', from, error)
  } finally {
    for (const { input } of groups) wipe(input)
  }
}

/** A slice of values over any alphabet. */
async function runTextSlice(
  setting: Setting,
  direction: Direction,
  values: readonly string[],
  from: number,
  tweak: Tweaks,
  signal: AbortSignal | undefined,
  put: Put,
): Promise<void> {
  const { cipher, method, alphabet } = setting
  const numerals = values.map((value, at) => {
    try {
      return alphabet.encode(value)
    } catch (error) {
      throw withIndex(error, from + at)
    }
  })
  const lengths = numerals.map(({ length }) => length)
  const buckets = bucketsOf(setting, lengths, tweak, from)
  const groups = buckets.map((bucket) => {
    const { length, radix } = bucket.shape
    const input = numeralArray(radix, bucket.count * length)
    for (let i = 0; i < bucket.count; i++) {
      input.set(numerals[bucket.places?.[i] ?? i] ?? [], i * length)
    }
    return { ...bucket, input, output: numeralArray(radix, input.length) }
  })
  try {
    await runGroups(cipher, method, direction, groups, signal)
    for (const { shape, count, output, places } of groups) {
      for (let i = 0; i < count; i++) {
        const result = output.subarray(i * shape.length, (i + 1) * shape.length)
        put(from + (places?.[i] ?? i), alphabet.decode(result))
      }
    }
  } finally {
    for (const { input, output } of groups) {
      input.fill(0)
      output.fill(0)
    }
    for (const one of numerals) one.fill(0)
  }
}

/**
 * Results in order. The arrays are read batch by batch: no copy of a million values holds up the process, so whoever
 * changes them before the end changes what is encrypted.
 * @throws FpeError as {@link FpeCipher.encryptMany}
 */
export async function runStrings(
  setting: Setting,
  direction: Direction,
  values: readonly string[],
  tweak: Tweaks,
  options: Omit<ManyOptions, 'tweak' | 'tweaks'> = {},
): Promise<string[]> {
  checkList(values)
  if (!(tweak instanceof Uint8Array) && tweak.length !== values.length) {
    throw new FpeError('TWEAK_INVALID', 'there are not as many tweaks as values', {
      expected: `one tweak, or ${values.length} tweaks`,
      got: `${tweak.length} tweaks`,
    })
  }
  const { signal } = options
  const total = values.length
  const results = new Array<string>(total)
  const put: Put = (at, value) => {
    results[at] = value
  }
  const sizeOf = (at: number): number => {
    const value: unknown = values[at]
    checkText(value, at)
    return value.length
  }
  const run = (from: number, to: number): Promise<void> => {
    const slice = values.slice(from, to)
    return setting.ascii === undefined
      ? runTextSlice(setting, direction, slice, from, tweak, signal, put)
      : runAsciiSlice(setting, setting.ascii, direction, slice, from, tweak, signal, put)
  }
  await inSlices(total, sizeOf, run, options)
  return results
}

/** Records one after another. @throws FpeError as {@link FpeCipher.encryptPacked}. */
export async function runPacked(
  setting: Setting,
  direction: Direction,
  records: Uint8Array,
  tweaks: Uint8Array,
  options: Omit<PackedOptions, 'tweak'>,
): Promise<Uint8Array> {
  const { cipher, method, alphabet, ascii } = setting
  const { length, signal } = options
  if (ascii === undefined) {
    throw new FpeError('ALPHABET_INVALID', 'packed records need an alphabet of ASCII characters', {
      hint: 'use the form for strings',
    })
  }
  checkValue(setting, length, tweaks)
  const shape = shapeOf(method, alphabet.radix, length, tweaks.length)
  if (records.length % length !== 0) {
    throw new FpeError('LENGTH_INVALID', 'the last record is cut short', {
      expected: `a multiple of ${length} bytes`,
      got: `${records.length} bytes`,
    })
  }
  // A copy, at once: the caller may change or detach the buffer while the key works. Slice by slice it becomes the
  // result.
  const results = new Uint8Array(records)
  const run = async (from: number, to: number): Promise<void> => {
    const slice = results.subarray(from * length, to * length)
    const group = { shape, count: to - from, tweaks, input: slice, output: slice }
    try {
      await runCharacters(cipher, method, direction, ascii, [group], signal)
    } catch (error) {
      const text = (at: number): string =>
        Buffer.from(slice.subarray(at * length, (at + 1) * length)).toString('latin1')
      throw blame(setting, group.count, text, from, error)
    }
  }
  try {
    const native = shape.native && cipher.feistel !== undefined
    await inSlices(results.length / length, () => length, run, {
      ...options,
      ...(native && { sliceSymbols: NATIVE_SLICE_SYMBOLS }),
    })
    return results
  } catch (error) {
    wipe(results)
    throw error
  }
}
