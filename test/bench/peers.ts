/** The peers of the FPE benchmark, each as "these strings, once". None of them has types of its own. */
import { createRequire } from 'node:module'

import { FF1 as NobleFf1 } from '@noble/ciphers/ff1.js'

import type { Work } from './rows.ts'

const require = createRequire(import.meta.url)
const { FF1: UbiqFf1 } = require('ubiq-security-fpe') as {
  FF1: new (
    key: Uint8Array,
    tweak: Uint8Array,
    tweakMin: number,
    tweakMax: number,
    radix: number,
    alphabet: string,
  ) => { encrypt(text: string, tweak: Uint8Array): string }
}
const Ff3Cipher = require('ff3') as new (
  key: string,
  tweak: string,
  radix: number,
) => { encrypt(text: string): string }

/** What all of them are given. */
export interface PeerInput {
  readonly key: Uint8Array
  readonly tweak: Uint8Array
  readonly symbols: string
  readonly values: readonly string[]
}

const each = (values: readonly string[], encrypt: (value: string) => string): Work => {
  return () => {
    let length = 0
    for (const value of values) length += encrypt(value).length
    return length === 0 ? 0 : values.length
  }
}

/** `@noble/ciphers` FF1; strings become digits and digits strings, as its users have to. */
export function noble({ key, tweak, symbols, values }: PeerInput): Work {
  const cipher = NobleFf1(symbols.length, key, tweak)
  const numeral = new Map(Array.from(symbols, (symbol, at) => [symbol, at]))
  return each(values, (value) =>
    cipher
      .encrypt(Array.from(value, (symbol) => numeral.get(symbol) ?? 0))
      .map((at) => symbols[at])
      .join(''),
  )
}

/** `ubiq-security-fpe` FF1. */
export function ubiq({ key, tweak, symbols, values }: PeerInput): Work {
  const cipher = new UbiqFf1(key, tweak, 0, 64, symbols.length, symbols)
  return each(values, (value) => cipher.encrypt(value, tweak))
}

/** `ff3` FF3-1, the cipher made once; 7-byte tweak. */
export function mysto({ key, tweak, symbols, values }: PeerInput): Work {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  const cipher = new Ff3Cipher(hex(key), hex(tweak), symbols.length)
  return each(values, (value) => cipher.encrypt(value))
}
