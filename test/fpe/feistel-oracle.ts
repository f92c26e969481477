/**
 * FF1 (SP 800-38G §5.1, Alg. 7 and 8) and FF3-1 (Rev. 1 draft 2019, Alg. 9 and 10) word for word,
 * one record at a time over BigInt: slow, and independent of everything in src/fpe and bindings.
 * Also puts records into the form the addon takes.
 */
import { createCipheriv } from 'node:crypto'

import type { NativeBatch } from '../../src/feistel-addon.ts'
import type { FeistelGroup } from '../../src/ports.ts'

export type Aes = (block: Uint8Array) => Uint8Array

/** AES of one block. */
export function aesOf(key: Uint8Array): Aes {
  return (block) => {
    const cipher = createCipheriv(`aes-${key.length * 8}-ecb`, key, null).setAutoPadding(false)
    return new Uint8Array(Buffer.concat([cipher.update(block), cipher.final()]))
  }
}

const number = (numerals: readonly number[], radix: number): bigint =>
  numerals.reduce((sum, numeral) => sum * BigInt(radix) + BigInt(numeral), 0n)

function numerals(value: bigint, radix: number, length: number): number[] {
  const out: number[] = []
  for (let rest = value; out.length < length; rest /= BigInt(radix)) {
    out.unshift(Number(rest % BigInt(radix)))
  }
  return out
}

const toBytes = (value: bigint, length: number): Uint8Array =>
  length === 0
    ? new Uint8Array()
    : new Uint8Array(Buffer.from(value.toString(16).padStart(2 * length, '0'), 'hex'))

const toNumber = (bytes: Uint8Array): bigint => BigInt(`0x0${Buffer.from(bytes).toString('hex')}`)

const xor = (a: Uint8Array, b: Uint8Array): Uint8Array => a.map((byte, at) => byte ^ b[at]!)

const modulo = (value: bigint, by: bigint): bigint => ((value % by) + by) % by

/** Sizes of FF1: steps 1, 3, 4 of Alg. 7. */
export function sizes(radix: number, n: number) {
  const u = Math.floor(n / 2)
  const v = n - u
  const b = Math.ceil((BigInt(radix) ** BigInt(v) - 1n).toString(2).length / 8)
  return { u, v, b, d: 4 * Math.ceil(b / 4) + 4 }
}

function header(radix: number, n: number, t: number): Uint8Array {
  const p = new Uint8Array([1, 2, 1, 0, 0, 0, 10, Math.floor(n / 2) % 256, 0, 0, 0, 0, 0, 0, 0, 0])
  const view = new DataView(p.buffer)
  view.setUint8(3, radix >> 16)
  view.setUint16(4, radix & 0xffff)
  view.setUint32(8, n)
  view.setUint32(12, t)
  return p
}

/** Alg. 6. */
function prf(aes: Aes, blocks: Uint8Array): Uint8Array {
  let state: Uint8Array = new Uint8Array(16)
  for (let at = 0; at < blocks.length; at += 16)
    state = aes(xor(state, blocks.subarray(at, at + 16)))
  return state
}

export function ff1(
  aes: Aes,
  radix: number,
  tweak: Uint8Array,
  text: readonly number[],
  decrypt: boolean,
): number[] {
  const n = text.length
  const { u, v, b, d } = sizes(radix, n)
  let [left, right] = [text.slice(0, u), text.slice(u)]
  for (let step = 0; step < 10; step++) {
    const round = decrypt ? 9 - step : step
    const zeros = (((-tweak.length - b - 1) % 16) + 16) % 16
    const source = number(decrypt ? left : right, radix)
    const q = [...tweak, ...new Uint8Array(zeros), round, ...toBytes(source, b)]
    const r = prf(aes, new Uint8Array([...header(radix, n, tweak.length), ...q]))
    const s = [...r]
    for (let j = 1; s.length < d; j++) s.push(...aes(xor(r, toBytes(BigInt(j), 16))))
    const y = toNumber(new Uint8Array(s.slice(0, d)))
    const m = round % 2 === 0 ? u : v
    const target = number(decrypt ? right : left, radix)
    const c = numerals(
      modulo(decrypt ? target - y : target + y, BigInt(radix) ** BigInt(m)),
      radix,
      m,
    )
    ;[left, right] = decrypt ? [c, left] : [right, c]
  }
  return [...left, ...right]
}

/** `aes` is under the reversed key. */
export function ff3_1(
  aes: Aes,
  radix: number,
  tweak: Uint8Array,
  text: readonly number[],
  decrypt: boolean,
): number[] {
  const u = Math.ceil(text.length / 2)
  let [left, right] = [text.slice(0, u), text.slice(u)]
  const t = toNumber(tweak)
  const tweakLeft = (t >> 28n) << 4n
  const tweakRight = ((t & 0xffffffn) << 8n) | (((t >> 24n) & 0xfn) << 4n)
  for (let step = 0; step < 8; step++) {
    const round = decrypt ? 7 - step : step
    const m = round % 2 === 0 ? u : text.length - u
    const w = (round % 2 === 0 ? tweakRight : tweakLeft) ^ BigInt(round)
    const source = number((decrypt ? left : right).toReversed(), radix)
    const p = new Uint8Array([...toBytes(w, 4), ...toBytes(source, 12)])
    const y = toNumber(aes(p.toReversed()).toReversed())
    const target = number((decrypt ? right : left).toReversed(), radix)
    const c = modulo(decrypt ? target - y : target + y, BigInt(radix) ** BigInt(m))
    const changed = numerals(c, radix, m).toReversed()
    ;[left, right] = decrypt ? [changed, left] : [right, changed]
  }
  return [...left, ...right]
}

/** Records of one shape. One tweak: shared by all. */
export interface Shape {
  readonly radix: number
  readonly records: readonly (readonly number[])[]
  readonly tweaks: readonly Uint8Array[]
  /** ASCII symbols: characters instead of numerals. */
  readonly alphabet?: string | undefined
  /** Numerals in 16 bits though 8 would do. */
  readonly words?: boolean | undefined
}

/** (first character, first numeral, count) of each run of consecutive characters. */
export function runsOf(alphabet: string): Uint8Array {
  const runs: number[][] = []
  for (const [at, symbol] of Array.from(alphabet).entries()) {
    const code = symbol.charCodeAt(0)
    const last = runs.at(-1)
    if (last !== undefined && code === last[0]! + last[2]!) last[2]!++
    else runs.push([code, at, 1])
  }
  return new Uint8Array(runs.flat())
}

/** What {@link FeistelGroup} says of prefix, tweaks and symbols. */
export function toGroup(aes: Aes, fF3_1: boolean, shape: Shape): FeistelGroup {
  const { radix, records, tweaks, alphabet } = shape
  const length = records[0]!.length
  const tweakLength = tweaks[0]!.length
  const shared = tweaks.length === 1
  const { b } = sizes(radix, length)
  const before = shared ? 16 * Math.floor((tweakLength + b) / 16) : 0
  const fixed = new Uint8Array(before)
  if (shared) fixed.set(tweaks[0]!.subarray(0, before))
  const symbols = records.flat()
  const words = alphabet === undefined && (radix > 256 || shape.words === true)
  const Numerals = words ? Uint16Array : Uint8Array
  return {
    radix,
    length,
    count: records.length,
    input:
      alphabet === undefined
        ? new Numerals(symbols)
        : new Uint8Array(symbols.map((numeral) => alphabet.charCodeAt(numeral))),
    output: new Numerals(symbols.length),
    tweakLength,
    tweaks: new Uint8Array(Buffer.concat(tweaks)),
    prefix: fF3_1
      ? new Uint8Array()
      : prf(aes, new Uint8Array([...header(radix, length, tweakLength), ...fixed])),
    ...(alphabet === undefined ? {} : { characters: runsOf(alphabet) }),
  }
}

/** Numerals of a group's output, record by record. */
export function recordsOf(group: FeistelGroup, alphabet?: string): number[][] {
  const symbols = Array.from(group.output, (symbol) =>
    alphabet === undefined ? symbol : alphabet.indexOf(String.fromCharCode(symbol)),
  )
  return Array.from({ length: group.count }, (_, at) =>
    symbols.slice(at * group.length, (at + 1) * group.length),
  )
}

export function toBatch(aes: Aes, ff3_1: boolean, decrypt: boolean, shapes: readonly Shape[]) {
  const groups = shapes.map((shape) => toGroup(aes, ff3_1, shape))
  return { ff3_1, decrypt, groups } satisfies NativeBatch
}

/** What the batch should give. */
export function expected(aes: Aes, isFf3_1: boolean, decrypt: boolean, shape: Shape): number[][] {
  const run = isFf3_1 ? ff3_1 : ff1
  return shape.records.map((record, at) =>
    run(aes, shape.radix, shape.tweaks[shape.tweaks.length === 1 ? 0 : at]!, record, decrypt),
  )
}
