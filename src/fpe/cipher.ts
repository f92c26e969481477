/**
 * `ff1` and `ff3_1`: a method under one key over one alphabet, for single values, many, numerals and packed bytes.
 * Input is checked before the key is used; errors say where and never hold a value.
 */
import { FpeError } from '../errors.ts'
import type { BlockCipher } from '../ports.ts'
import { alphabet, radixAlphabet } from './alphabet.ts'
import { type Setting, checkText, checkValue, ownTweak, setting } from './domain.ts'
import { checkKey } from './engine.ts'
import { runPacked, runStrings } from './many.ts'
import { enqueue } from './queue.ts'
import type {
  Alphabet,
  Direction,
  Ff1,
  Ff1Options,
  Ff3_1,
  FpeCipher,
  FpeKey,
  ManyOptions,
  Method,
  SymbolsOption,
  TweakOption,
} from './types.ts'

/** One block cipher a key, so that all that is encrypted under it shares calls. */
const ciphers = new WeakMap<FpeKey, BlockCipher>()

/** @throws FpeError KEY_INVALID */
function cipherOf(key: FpeKey): BlockCipher {
  // Callers without types get here too.
  const given = key as Partial<FpeKey> | null | undefined
  if (
    typeof given !== 'object' ||
    !given ||
    !('encryptBlocks' in given || 'blockCipher' in given)
  ) {
    throw new FpeError('KEY_INVALID', 'this is not a key', {
      where: 'key',
      expected: 'a key of a token, or a block cipher such as softwareAes(bytes)',
    })
  }
  if ('encryptBlocks' in key) return key
  let cipher = ciphers.get(key)
  if (cipher === undefined) ciphers.set(key, (cipher = key.blockCipher()))
  return cipher
}

/** @throws FpeError ALPHABET_INVALID, RADIX_INVALID */
function alphabetOf(option: SymbolsOption): Alphabet {
  if ((option.alphabet === undefined) === (option.radix === undefined)) {
    throw new FpeError('ALPHABET_INVALID', 'what values are made of is not clear', {
      expected: 'either alphabet or radix',
    })
  }
  if (option.radix !== undefined) return radixAlphabet(option.radix)
  // Callers without types get here too. A text is refused: the name of an alphabet would be read as its symbols.
  const given = option.alphabet as unknown
  if (typeof given !== 'object' || given === null) {
    throw new FpeError('ALPHABET_INVALID', 'this is no alphabet', {
      where: 'alphabet',
      expected: 'one of alphabets, an alphabet(symbols), or an array of symbols',
      got: given === null ? 'null' : typeof given,
    })
  }
  return 'encode' in option.alphabet ? option.alphabet : alphabet(option.alphabet)
}

/** @throws FpeError LENGTH_INVALID, SYMBOL_INVALID, TWEAK_INVALID, DOMAIN_TOO_SMALL */
function checkedNumerals(
  use: Setting,
  numerals: ArrayLike<number>,
  tweak: Uint8Array,
): Uint16Array {
  checkValue(use, numerals.length, tweak)
  const { radix } = use.alphabet
  return Uint16Array.from(numerals, (numeral, at) => {
    if (Number.isInteger(numeral) && numeral >= 0 && numeral < radix) return numeral
    throw new FpeError('SYMBOL_INVALID', 'a numeral is out of range', {
      where: `symbol ${at + 1}`,
      expected: `an integer from 0 to ${radix - 1}`,
    })
  })
}

function build(
  method: Method,
  options: Ff1Options,
  approved: boolean,
  checkDirection: (direction: Direction) => void,
): FpeCipher {
  const cipher = cipherOf(options.key)
  checkKey(cipher, method)
  const use = setting(cipher, method, alphabetOf(options), options.minDomain)
  const { alphabet, minLength, maxLength } = use
  const tweak = options.tweak === undefined ? undefined : ownTweak(options.tweak)
  const tweakOf = (call: TweakOption | undefined) => ownTweak(call?.tweak ?? tweak)
  const tweaksOf = (call: ManyOptions | undefined) => {
    if (call?.tweaks === undefined) return tweakOf(call)
    if (call.tweak === undefined) return call.tweaks
    throw new FpeError('TWEAK_INVALID', 'there is one tweak for all and one for each value', {
      expected: 'either tweak or tweaks',
    })
  }
  const run = (
    direction: Direction,
    numerals: Uint16Array,
    tweak: Uint8Array,
  ): Promise<Uint16Array> =>
    enqueue(cipher, method, direction, { radix: alphabet.radix, numerals, tweak })
  const text =
    (direction: Direction) =>
    async (value: string, call?: TweakOption): Promise<string> => {
      checkDirection(direction)
      checkText(value)
      const own = tweakOf(call)
      const numerals = alphabet.encode(value)
      checkValue(use, numerals.length, own)
      const result = await run(direction, numerals, own)
      const answer = alphabet.decode(result)
      result.fill(0)
      return answer
    }
  const list =
    (direction: Direction): FpeCipher['encryptNumerals'] =>
    async (numerals, call) => {
      checkDirection(direction)
      const own = tweakOf(call)
      return run(direction, checkedNumerals(use, numerals, own), own)
    }
  const many =
    (direction: Direction): FpeCipher['encryptMany'] =>
    async (values, call) => {
      checkDirection(direction)
      return runStrings(use, direction, values, tweaksOf(call), call)
    }
  const packed =
    (direction: Direction): FpeCipher['encryptPacked'] =>
    async (records, call) => {
      checkDirection(direction)
      return runPacked(use, direction, records, tweakOf(call), call)
    }
  return Object.freeze({
    ...{ method, approved, alphabet, minLength, maxLength },
    encrypt: text('encrypt'),
    decrypt: text('decrypt'),
    encryptMany: many('encrypt'),
    decryptMany: many('decrypt'),
    encryptNumerals: list('encrypt'),
    decryptNumerals: list('decrypt'),
    encryptPacked: packed('encrypt'),
    decryptPacked: packed('decrypt'),
  })
}

/**
 * FF1 (SP 800-38G). FF1 itself runs outside the module that holds the key.
 * @throws FpeError DOMAIN_TOO_SMALL, RADIX_INVALID; KEY_INVALID for a key with reversed bytes.
 */
export const ff1: Ff1 = (options) => build('FF1', options, true, () => undefined)

/**
 * FF3-1, not NIST-approved: for data that exists. Decrypts; encrypts with `allowEncrypt` only.
 * @throws FpeError NOT_APPROVED, KEY_NOT_REVERSED, DOMAIN_TOO_SMALL, RADIX_INVALID.
 */
export const ff3_1: Ff3_1 = (options) => {
  // Callers without types get here too.
  if ((options.allowNonApproved as unknown) !== true) {
    throw new FpeError('NOT_APPROVED', 'FF3-1 is not NIST-approved', {
      expected: 'allowNonApproved: true',
      hint: 'use ff1; FF3-1 is for data that exists already',
    })
  }
  const { allowEncrypt = false } = options
  return build('FF3-1', options, false, (direction) => {
    if (direction === 'encrypt' && !allowEncrypt) {
      throw new FpeError('NOT_APPROVED', 'FF3-1 encrypts nothing new', {
        expected: 'decryption, or allowEncrypt: true',
        hint: 'encrypt with ff1',
      })
    }
  })
}
