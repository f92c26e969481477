/** What a cipher takes: the floor of the domain and the limits of the method (SP 800-38G §5). */
import { FpeError } from '../errors.ts'
import type { BlockCipher } from '../ports.ts'
import {
  DEFAULT_DOMAIN,
  FF3_1_TWEAK,
  MAX_TWEAK,
  STANDARD_DOMAIN,
  checkShape,
  maxLength,
  minLength,
} from './parameters.ts'
import { type Ascii, asciiOf } from './ascii.ts'
import type { Alphabet, Method } from './types.ts'

/** A method under one key over one alphabet, with its floor. */
export interface Setting {
  readonly cipher: BlockCipher
  readonly method: Method
  readonly alphabet: Alphabet
  /** Smallest number of possible values. */
  readonly floor: number
  readonly minLength: number
  readonly maxLength: number
  readonly ascii: Ascii | undefined
}

/** @throws FpeError RADIX_INVALID, DOMAIN_TOO_SMALL */
export function setting(
  cipher: BlockCipher,
  method: Method,
  alphabet: Alphabet,
  floor = DEFAULT_DOMAIN,
): Setting {
  if (!Number.isSafeInteger(floor) || floor < STANDARD_DOMAIN) {
    throw new FpeError('DOMAIN_TOO_SMALL', 'minDomain is not possible', {
      where: 'minDomain',
      expected: `an integer of at least ${STANDARD_DOMAIN} (SP 800-38G §5.1)`,
      got: String(floor),
    })
  }
  // A length that both methods take: this checks the radix.
  checkShape(method, alphabet.radix, 8, method === 'FF1' ? 0 : FF3_1_TWEAK)
  const { radix } = alphabet
  const limits = { minLength: minLength(radix, floor), maxLength: maxLength(method, radix) }
  if (limits.minLength > limits.maxLength) {
    throw new FpeError('DOMAIN_TOO_SMALL', 'no length reaches minDomain', {
      where: 'minDomain',
      expected: `at most ${radix}^${limits.maxLength}`,
      got: String(floor),
    })
  }
  return { cipher, method, alphabet, floor, ...limits, ascii: asciiOf(alphabet) }
}

/** @throws FpeError TWEAK_INVALID */
export function checkTweak(tweak: unknown): asserts tweak is Uint8Array {
  if (!(tweak instanceof Uint8Array)) {
    throw new FpeError('TWEAK_INVALID', 'a tweak is missing', {
      expected: 'bytes; an empty tweak must be said: new Uint8Array()',
    })
  }
}

/** A copy: the caller may change the bytes. (The slice of a Buffer is no copy.) @throws FpeError TWEAK_INVALID */
export function ownTweak(tweak: unknown): Uint8Array {
  checkTweak(tweak)
  return new Uint8Array(tweak)
}

/** @throws FpeError LENGTH_INVALID, DOMAIN_TOO_SMALL, TWEAK_INVALID */
export function checkValue(
  { method, alphabet, floor, minLength: shortest, maxLength: longest }: Setting,
  length: number,
  tweak: Uint8Array,
): void {
  const tweakFits = method === 'FF1' ? tweak.length <= MAX_TWEAK : tweak.length === FF3_1_TWEAK
  if (!(length >= shortest && length <= longest && tweakFits)) {
    checkShape(method, alphabet.radix, length, tweak.length, floor)
  }
}

/** Of a set or an iterator no value would be seen. @throws FpeError SYMBOL_INVALID. */
export function checkList(values: unknown): void {
  if (Array.isArray(values)) return
  throw new FpeError('SYMBOL_INVALID', 'the values are no list', {
    expected: 'an array of strings',
    got: values === null ? 'null' : typeof values,
  })
}

/** @throws FpeError SYMBOL_INVALID with its index */
export function checkText(value: unknown, index?: number): asserts value is string {
  if (typeof value !== 'string') {
    throw new FpeError('SYMBOL_INVALID', 'a value is not text', {
      expected: 'a string',
      got: typeof value,
      ...(index !== undefined && { index }),
    })
  }
}
