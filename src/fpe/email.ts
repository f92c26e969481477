/**
 * E-mail addresses: the local part (RFC 5321 §4.5.3.1.1, at most 64 octets) is encrypted character by
 * character over an alphabet; "." "_" "+" "-" stay at their places, and so does the domain, as it is written.
 */
import { ConfigError, FpeError } from '../errors.ts'
import { alphabets } from './alphabet.ts'
import { type Format, onlyOptions } from './format.ts'
import { characterClass } from './layout.ts'
import { domainOf } from './parameters.ts'
import { type Scattered, gathered, scattered } from './scattered.ts'
import type { Alphabet } from './types.ts'

/** Options of {@link email}. */
export interface EmailOptions {
  /**
   * Characters of local parts. Default: digits and lower-case letters. With capitals in the alphabet they come
   * out at random, and systems that fold case destroy the value.
   */
  readonly alphabet?: Alphabet
}

/** RFC 5321 §4.5.3.1.1 and §4.5.3.1.2. */
const [MAX_LOCAL, MAX_DOMAIN] = [64, 255]
const PUNCTUATION = '._+-'

/**
 * A format of e-mail addresses.
 * @throws ConfigError on unknown options, and when the alphabet has one of the characters that stay, or the at sign.
 */
export function email(options: EmailOptions = {}): Format {
  onlyOptions('email', options, ['alphabet'])
  const { alphabet = alphabets['alphanumeric-lower'] } = options
  if (alphabet.symbols.some((symbol) => `${PUNCTUATION}@`.includes(symbol))) {
    throw new ConfigError('the alphabet has a character that has a meaning in addresses', {
      where: 'email.alphabet',
      expected: 'none of . _ + - @',
    })
  }
  const of = characterClass(`alphabet ${alphabet.id}`, alphabet.symbols)
  const format: Format<Scattered> = {
    describe: `local part of an e-mail address over alphabet ${alphabet.id}, domain kept`,
    smallest: domainOf(of.size, 2),
    largest: domainOf(of.size, MAX_LOCAL),
    parse(text) {
      const at = text.indexOf('@')
      const [local, domain] = [text.slice(0, at), text.slice(at + 1)]
      if (at < 0 || !/^[^\s@]+$/.test(domain) || !domain.isWellFormed()) {
        throw new FpeError('FORMAT_MISMATCH', 'the value is no e-mail address', {
          expected: 'a local part, one "@" and a domain without spaces',
        })
      }
      if (local.length > MAX_LOCAL || domain.length > MAX_DOMAIN) {
        throw new FpeError('LENGTH_INVALID', 'the address is too long', {
          expected: `at most ${MAX_LOCAL} characters before the "@" and ${MAX_DOMAIN} behind it`,
        })
      }
      const places: number[] = []
      let skeleton = ''
      for (let i = 0; i < local.length; i++) {
        const character = local.charAt(i)
        const stays = PUNCTUATION.includes(character)
        if (!stays) places.push(i)
        skeleton += stays ? character : 'x'
      }
      // The punctuation is part of who is meant: a.bc and ab.c are two people.
      return scattered(text, places, of, [skeleton, domain])
    },
    rebuild: gathered,
  }
  return format
}
