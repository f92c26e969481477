/** The official vectors of test/vectors as numerals, grouped by key. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { fromHex } from '../../src/bytes.ts'

const FOLDER = join(import.meta.dirname, '..', 'vectors')

/** One valid vector. */
export interface Vector {
  readonly method: 'FF1' | 'FF3-1'
  readonly key: string
  readonly radix: number
  readonly tweak: Uint8Array
  readonly plaintext: Uint16Array
  readonly ciphertext: Uint16Array
}

/** The vectors of one source. */
export interface VectorSet {
  readonly name: string
  readonly vectors: number
  /** Key bytes and the vectors under them. */
  readonly byKey: () => [Uint8Array, readonly Vector[]][]
}

const read = (path: string): unknown => JSON.parse(readFileSync(join(FOLDER, path), 'utf8'))

const numeralsOf = (text: string, alphabet: string): Uint16Array =>
  Uint16Array.from(text, (symbol) => alphabet.indexOf(symbol))

function nist(): Vector[] {
  const { samples, alphabet36 } = read('nist/ff1samples.json') as {
    alphabet36: string
    samples: { key: string; radix: number; tweak: string; pt: string; ct: string }[]
  }
  return samples.map(({ key, radix, tweak, pt, ct }) => ({
    ...{ method: 'FF1', key: key.toLowerCase(), radix, tweak: fromHex(tweak.toLowerCase()) },
    plaintext: numeralsOf(pt, alphabet36),
    ciphertext: numeralsOf(ct, alphabet36),
  }))
}

function acvp(path: string, method: Vector['method']): Vector[] {
  const { testGroups } = read(path) as {
    testGroups: {
      alphabet: string
      radix: number
      tests: { key: string; tweak: string; pt: string; ct: string }[]
    }[]
  }
  return testGroups.flatMap(({ alphabet, radix, tests }) =>
    tests.map(({ key, tweak, pt, ct }) => ({
      ...{ method, key: key.toLowerCase(), radix, tweak: fromHex(tweak.toLowerCase()) },
      plaintext: numeralsOf(pt, alphabet),
      ciphertext: numeralsOf(ct, alphabet),
    })),
  )
}

interface Wycheproof {
  readonly testGroups: {
    readonly alphabet?: string
    readonly radix: number
    readonly tests: {
      readonly tcId: number
      readonly key: string
      readonly tweak: string
      readonly msg: string | number[]
      readonly ct: string | number[]
      readonly result: 'valid' | 'invalid'
    }[]
  }[]
}

const WYCHEPROOF = ['base36', 'base64', 'radix10', 'radix256'] as const

const wycheproofFile = (name: (typeof WYCHEPROOF)[number]): Wycheproof =>
  read(`wycheproof/aes_ff1_${name}_test.json`) as Wycheproof

/** Without the cases marked invalid. */
function wycheproof({ testGroups }: Wycheproof): Vector[] {
  return testGroups.flatMap(({ alphabet = '', radix, tests }) => {
    const numerals = (value: string | number[]) =>
      typeof value === 'string' ? numeralsOf(value, alphabet) : Uint16Array.from(value)
    return tests
      .filter(({ result }) => result === 'valid')
      .map(({ key, tweak, msg, ct }) => ({
        ...{ method: 'FF1' as const, key, radix, tweak: fromHex(tweak) },
        plaintext: numerals(msg),
        ciphertext: numerals(ct),
      }))
  })
}

function set(name: string, vectors: readonly Vector[]): VectorSet {
  return {
    name,
    vectors: vectors.length,
    byKey: () =>
      [...Map.groupBy(vectors, ({ key }) => key)].map(([key, list]) => [fromHex(key), list]),
  }
}

/** All sets. */
export const vectorSets = (): VectorSet[] => [
  set('NIST FF1', nist()),
  set('ACVP FF1', acvp('acvp/ff1.json', 'FF1')),
  set('ACVP FF3-1', acvp('acvp/ff3-1.json', 'FF3-1')),
  ...WYCHEPROOF.map((name) => set(`Wycheproof FF1 ${name}`, wycheproof(wycheproofFile(name)))),
]

/** A case of Wycheproof that must be refused. */
export interface InvalidCase {
  readonly name: string
  readonly key: Uint8Array
  readonly radix: number
  /** Of the cases that are text. */
  readonly alphabet: string | undefined
  readonly tweak: Uint8Array
  readonly message: string | readonly number[]
}

export const invalidCases = (): InvalidCase[] =>
  WYCHEPROOF.flatMap((file) =>
    wycheproofFile(file).testGroups.flatMap(({ alphabet, radix, tests }) =>
      tests
        .filter(({ result }) => result === 'invalid')
        .map(({ tcId, key, tweak, msg }) => ({
          ...{ name: `${file} ${tcId}`, radix, alphabet, message: msg },
          key: fromHex(key),
          tweak: fromHex(tweak),
        })),
    ),
  )
