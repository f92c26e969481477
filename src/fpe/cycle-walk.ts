/**
 * Encryption on sets that are no power domain: John Black, Phillip Rogaway, "Ciphers with arbitrary finite
 * domains" (CT-RSA 2002), cycle-walking cipher. A record is encrypted again until it is back in the set; starting inside, it
 * always comes back, and decryption walks the same cycle the other way. Unfinished records share the next pass.
 */
import { FpeError } from '../errors.ts'
import type { BlockCipher } from '../ports.ts'
import type { Domain } from './format.ts'
import type { Direction, FpeRecord, Method, RunRecords } from './types.ts'

/**
 * More passes than any walk takes: mixed-radix.ts chooses domains of which more than four fifths are inside
 * the set, so a walk is longer than this with a chance below 10^-100.
 */
const MAX_PASSES = 200

/** A record and the set it must stay in. */
export interface WalkRecord extends FpeRecord {
  readonly domain: Domain
}

/** Lexicographic order of records of one length is the order of their integers. */
function inside(numerals: Uint16Array, bound: Uint16Array | undefined): boolean {
  if (bound === undefined) return true
  for (let i = 0; i < bound.length; i++) {
    const difference = (numerals[i] ?? 0) - (bound[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}

/**
 * Runs records of any shapes in shared calls, and again those that left their set.
 * @throws FpeError FORMAT_MISMATCH when a record starts outside its set; what `run` throws.
 */
export async function walkRecords(
  run: RunRecords,
  cipher: BlockCipher,
  method: Method,
  direction: Direction,
  records: readonly WalkRecord[],
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Uint16Array[]> {
  for (const [index, { domain, numerals }] of records.entries()) {
    if (!inside(numerals, domain.bound)) {
      throw new FpeError('FORMAT_MISMATCH', 'a record is outside its set', { index })
    }
  }
  const results = await run(cipher, method, direction, records, options)
  for (let passes = 1; ; passes++) {
    const out: number[] = []
    for (const [index, result] of results.entries()) {
      const bound = records[index]?.domain.bound
      if (bound !== undefined && !inside(result, bound)) out.push(index)
    }
    if (out.length === 0) return results
    if (passes === MAX_PASSES) {
      throw new FpeError('FORMAT_MISMATCH', 'a record does not come back to its set', {
        where: 'cycle walking',
        expected: `at most ${MAX_PASSES} passes`,
        hint: 'the block cipher does not act as one; check the token',
      })
    }
    const again = out.map((index): FpeRecord => {
      return { ...(records[index] as WalkRecord), numerals: results[index] as Uint16Array }
    })
    const walked = await run(cipher, method, direction, again, options)
    for (const [at, index] of out.entries()) results[index] = walked[at] as Uint16Array
  }
}
