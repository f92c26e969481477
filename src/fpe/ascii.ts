/** Alphabets of single ASCII characters: a value is a byte string, and many values of one length are one. */
import { FpeError } from '../errors.ts'
import type { BlockCipher } from '../ports.ts'
import { type Group, runGroups } from './engine.ts'
import type { Shape } from './parameters.ts'
import type { Alphabet, Direction, Method } from './types.ts'

/** No numeral: ASCII alphabets have fewer symbols. */
const NONE = 0xff

/** An alphabet's characters both ways. */
export interface Ascii {
  /** See FeistelGroup.characters. */
  readonly runs: Uint8Array
  readonly numeralOf: Uint8Array
  readonly characterOf: Uint8Array
}

/** Undefined when a symbol is not one ASCII character. */
export function asciiOf({ asciiRuns: runs, symbols }: Alphabet): Ascii | undefined {
  if (runs === undefined) return undefined
  const characterOf = Uint8Array.from(symbols, (symbol) => symbol.charCodeAt(0))
  const numeralOf = new Uint8Array(256).fill(NONE)
  for (const [numeral, character] of characterOf.entries()) numeralOf[character] = numeral
  return { runs, numeralOf, characterOf }
}

/** Values of one shape as characters, one after another; `output` is as long as `input`, and may be the same array. */
export interface CharacterGroup {
  readonly shape: Shape
  readonly count: number
  readonly tweaks: Uint8Array
  readonly input: Uint8Array
  readonly output: Uint8Array
}

function toNumerals(characters: Uint8Array, { numeralOf }: Ascii): Uint8Array {
  const numerals = new Uint8Array(characters.length)
  let worst = 0
  for (let i = 0; i < characters.length; i++) {
    const numeral = numeralOf[characters[i] ?? 0] ?? NONE
    worst |= numeral
    numerals[i] = numeral
  }
  // Numerals are below 128: the top bit is that of NONE.
  if (worst > 0x7f) throw new FpeError('SYMBOL_INVALID', 'a symbol is not in the alphabet')
  return numerals
}

/**
 * Runs groups of characters in shared calls: natively as they are, else as numerals.
 * @throws FpeError SYMBOL_INVALID without a place; as `runGroups`.
 */
export async function runCharacters(
  cipher: BlockCipher,
  method: Method,
  direction: Direction,
  ascii: Ascii,
  groups: readonly CharacterGroup[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const converted: { numerals: Uint8Array; result: Uint8Array; output: Uint8Array }[] = []
  try {
    const run = groups.map((group): Group => {
      if (cipher.feistel !== undefined && group.shape.native) {
        return { ...group, characters: ascii.runs }
      }
      const numerals = toNumerals(group.input, ascii)
      const result = new Uint8Array(numerals.length)
      converted.push({ numerals, result, output: group.output })
      return { ...group, input: numerals, output: result }
    })
    await runGroups(cipher, method, direction, run, signal)
    for (const { result, output } of converted) {
      for (let i = 0; i < result.length; i++) {
        output[i] = ascii.characterOf[result[i] ?? 0] ?? 0
      }
    }
  } finally {
    for (const { numerals, result } of converted) {
      numerals.fill(0)
      result.fill(0)
    }
  }
}
