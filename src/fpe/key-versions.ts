/**
 * The versions of one key. New values are encrypted under the current one; each value is decrypted under the
 * version stored beside it. A version may be FF3-1, to read what exists: not NIST-approved.
 */
import { ConfigError, FpeError } from '../errors.ts'
import type { BlockCipher } from '../ports.ts'
import { checkKey } from './engine.ts'
import { placedAt } from './error-place.ts'
import type { Direction, Method } from './types.ts'

/** One version of a key. */
export interface KeyVersion {
  readonly cipher: BlockCipher
  /** FF1 by default. */
  readonly method?: Method
  /** FF3-1 only, and needed there: it was removed from SP 800-38G Rev. 1 in February 2025. */
  readonly allowNonApproved?: boolean
  /** FF3-1 only: encrypt, too. By default it decrypts, and `rewrap` leads out of it. */
  readonly allowEncrypt?: boolean
  /** The tweak of all values under this version, for data that other software made. FF3-1: 7 bytes. */
  readonly tweak?: Uint8Array
}

/** See the head of this file. */
export interface KeyVersionsOptions {
  /** For messages. */
  readonly name: string
  readonly current: number
  readonly versions: Readonly<Record<number, KeyVersion>>
}

/** A version that was found, complete. */
export interface UsableVersion {
  readonly number: number
  readonly cipher: BlockCipher
  readonly method: Method
  readonly tweak: Uint8Array | undefined
  readonly mayEncrypt: boolean
}

/** @throws FpeError NOT_APPROVED, KEY_NOT_REVERSED, KEY_INVALID; ConfigError. */
function usable(where: string, number: number, version: KeyVersion): UsableVersion {
  const { cipher, method = 'FF1', allowNonApproved, allowEncrypt, tweak } = version
  const legacy = method === 'FF3-1'
  if (legacy && allowNonApproved !== true) {
    throw new FpeError('NOT_APPROVED', 'FF3-1 is not approved by NIST', {
      where,
      expected: 'allowNonApproved: true',
      hint: 'for data that exists already; rewrap it to FF1',
    })
  }
  try {
    checkKey(cipher, method)
  } catch (error) {
    throw error instanceof FpeError ? placedAt(error, where) : error
  }
  if (!legacy && (allowNonApproved !== undefined || allowEncrypt !== undefined)) {
    throw new ConfigError('an option for FF3-1 stands at a version for FF1', { where })
  }
  return { number, cipher, method, tweak, mayEncrypt: !legacy || allowEncrypt === true }
}

/** See the head of this file. */
export class KeyVersions {
  readonly name: string
  readonly current: UsableVersion
  readonly #versions = new Map<number, UsableVersion>()

  /**
   * @throws ConfigError when there is no current version or a number is not one from 1;
   * FpeError NOT_APPROVED, KEY_NOT_REVERSED, KEY_INVALID.
   */
  constructor({ name, current, versions }: KeyVersionsOptions) {
    this.name = name
    for (const [text, version] of Object.entries(versions)) {
      const number = Number(text)
      if (!Number.isInteger(number) || number < 1 || number > 0xffff_ffff) {
        throw new ConfigError('a key version is no version number', {
          where: `key ${name}`,
          expected: 'a whole number from 1, below 2^32',
          got: text,
        })
      }
      this.#versions.set(number, usable(`key ${name}, version ${number}`, number, version))
    }
    this.current = this.get(current)
  }

  /** All versions. */
  [Symbol.iterator](): IterableIterator<UsableVersion> {
    return this.#versions.values()
  }

  /** @throws FpeError KEY_VERSION_UNKNOWN naming the known ones. */
  get(number: number): UsableVersion {
    const version = this.#versions.get(number)
    if (version === undefined) {
      // Not which: it is read from data, and a wrong field there holds values.
      throw new FpeError('KEY_VERSION_UNKNOWN', 'the key has no such version', {
        where: `key ${this.name}`,
        expected: `one of ${[...this.#versions.keys()].join(', ') || 'none'}`,
      })
    }
    return version
  }

  /** @throws FpeError KEY_VERSION_UNKNOWN, NOT_APPROVED when FF3-1 is to encrypt. */
  for(direction: Direction, number: number): UsableVersion {
    const version = this.get(number)
    if (direction === 'encrypt' && !version.mayEncrypt) {
      throw new FpeError('NOT_APPROVED', 'FF3-1 is here to decrypt only', {
        where: `key ${this.name}, version ${number}`,
        expected: 'a current version with FF1, or allowEncrypt: true',
      })
    }
    return version
  }
}
