import { describe, expect, it } from 'vitest'

import { fromHex, sha256, toHex, utf8 } from '../../src/bytes.ts'
import { FormatError } from '../../src/errors.ts'
import { DIGIT_WORDS, NATO_LETTERS, natoReadOut } from '../../src/nato.ts'
import { PGP_WORDS, fromPgpWords, toPgpWords } from '../../src/pgp-words.ts'

/** The fingerprint in the word list's own description, and digests IANA's key ceremony software printed. */
const VECTORS: readonly [string, string][] = [
  [
    'e58294f2e9a227486e8b061b31cc528fd7fa3f19',
    'topmost Istanbul Pluto vagabond treadmill Pacific brackish dictator goldfish Medusa afflict bravado chatter revolver Dupont midsummer stopwatch whimsical cowbell bottomless',
  ],
  [
    'b7f33386853cc35510ba238c0d1e5951b8d44cfa372843dda6e10598b77e3297',
    'seabird vertigo chisel letterhead music crossover snowcap equipment assume puberty blowtorch megaton ancient Burlington endow enchanting select souvenir drainage whimsical clamshell cellulose crucial tambourine rematch tolerance adult narrative seabird insurgent checkup mosquito',
  ],
  [
    '405c0be19a7a42910c893fee88029beed150091d50a40499682b44be52284b9c',
    'crackdown fascinate alone tolerance pupil infancy crowfoot miracle ammo matchmaker cowbell universe newborn aftermath puppy universe stairway embezzle Algol breakaway drumbeat Pandora adrift nebula frighten Cherokee crumpled racketeer Dupont cellulose dragnet October',
  ],
]

describe('PGP words', () => {
  it('is the published list: 2 x 256 different words, pinned by hash', () => {
    const [even, odd] = PGP_WORDS
    expect(new Set([...even, ...odd].map((word) => word.toLowerCase())).size).toBe(512)
    const lines = even.map((word, byte) => `${word} ${odd[byte]!}`).join('\n')
    expect(toHex(sha256(utf8(lines)))).toBe(
      '0b9fb31fd0fd7fc54489ce2dd9ca0cecc282424bfa170647920025b80e0518d2',
    )
  })

  it.each(VECTORS)('%s', (hex, words) => {
    expect(toPgpWords(fromHex(hex)).join(' ')).toBe(words)
    expect(toHex(fromPgpWords(words.toUpperCase().split(' ')))).toBe(hex)
  })

  it('names the word that is missing, doubled, swapped or unknown', () => {
    const words = toPgpWords(fromHex('e58294f2e9a2'))
    const place = (changed: string[]): string | undefined => {
      try {
        fromPgpWords(changed)
      } catch (error) {
        return error instanceof FormatError ? error.where : undefined
      }
      return undefined
    }
    expect(place(words)).toBeUndefined()
    expect(place(words.toSpliced(2, 1))).toBe('word 3')
    expect(place(words.toSpliced(2, 0, words[2]!))).toBe('word 4')
    expect(place(words.toSpliced(2, 2, words[3]!, words[2]!))).toBe('word 3')
    expect(place(words.toSpliced(4, 1, 'tredmill'))).toBe('word 5')
  })
})

describe('NATO read-out', () => {
  it('has 26 letters and ten digits', () => {
    expect(Object.keys(NATO_LETTERS).sort().join('')).toBe('abcdefghijklmnopqrstuvwxyz')
    expect(DIGIT_WORDS).toHaveLength(10)
  })

  it('reads groups', () => {
    expect(natoReadOut('a1f09')).toEqual(['Alfa One Foxtrot Zero', 'Nine'])
    expect(natoReadOut('0123456789abcdef', 16)).toEqual([
      'Zero One Two Three Four Five Six Seven Eight Nine Alfa Bravo Charlie Delta Echo Foxtrot',
    ])
  })

  it('refuses what is not lower-case hexadecimal', () => {
    expect(() => natoReadOut('A1')).toThrow(FormatError)
    expect(() => natoReadOut('zulu')).toThrow(FormatError)
  })
})
