/**
 * A column: one field of a data set, with its format, its keys by version, and what its tweak is bound to.
 * All values of a call that are under one key go to it together, whatever their lengths and versions.
 */
import { ConfigError, FpeError } from '../errors.ts'
import type { BlockCipher } from '../ports.ts'
import { type WalkRecord, walkRecords } from './cycle-walk.ts'
import { checkList } from './domain.ts'
import { inSlices, runRecords } from './engine.ts'
import { placedAt } from './error-place.ts'
import type { Format, Parsed } from './format.ts'
import type { KeyVersions, UsableVersion } from './key-versions.ts'
import {
  DEFAULT_DOMAIN,
  FF3_1_TWEAK,
  MAX_TWEAK,
  STANDARD_DOMAIN,
  checkShape,
} from './parameters.ts'
import { tweakHead, tweakOf } from './tweak.ts'
import type { Column, Direction, EachOptions, Method } from './types.ts'

/** Options of {@link column}. */
export interface ColumnOptions {
  /** Field name; bound into the tweak. */
  readonly name: string
  readonly format: Format
  readonly keys: KeyVersions
  /** Whose data it is; bound into the tweak. Default: empty. */
  readonly tenant?: string
  /** Each value comes with a text that is bound into its tweak. */
  readonly rowTweak?: boolean
  /** The tweak of all values, instead of all that would be bound: for data that other software made. */
  readonly tweak?: Uint8Array
  /** Fewest values the encrypted positions may have: 1,000,000 by default, down to 100 for data that exists. */
  readonly minDomain?: number
}

/** A value on its way. */
interface Job extends WalkRecord {
  readonly index: number
  readonly parsed: Parsed
}

function tooSmall(size: bigint, floor: number, longest: boolean): FpeError {
  return new FpeError('DOMAIN_TOO_SMALL', 'so few possible values can be guessed', {
    expected: `at least ${floor} possible values at the encrypted positions`,
    got: `${size} ${longest ? 'for the longest value' : 'possible values'}`,
    hint: 'keep less in the clear; for data that exists already: minDomain, down to 100',
  })
}

/** @throws ConfigError. */
function checkExplicit(tweak: Uint8Array | undefined, method: Method, where: string): void {
  const [least, most] = method === 'FF1' ? [0, MAX_TWEAK] : [FF3_1_TWEAK, FF3_1_TWEAK]
  if (tweak === undefined || tweak.length < least || tweak.length > most) {
    throw new ConfigError(`${method} cannot be used with this tweak`, {
      where,
      expected: method === 'FF1' ? `at most ${most} bytes` : `an explicit tweak of ${most} bytes`,
      got: tweak === undefined ? 'none' : `${tweak.length} bytes`,
      ...(method === 'FF3-1' && { hint: 'the tweak the data was made with' }),
    })
  }
}

class FormatColumn implements Column {
  readonly name: string
  readonly currentVersion: number
  readonly domain: bigint
  readonly describe: string
  readonly #format: Format
  readonly #keys: KeyVersions
  readonly #floor: number
  readonly #rowTweak: boolean
  /** Head of the tweak, or the whole of an explicit one, by version. */
  readonly #tweaks: ReadonlyMap<number, { readonly bytes: Uint8Array; readonly whole: boolean }>

  constructor(options: ColumnOptions) {
    const { name, format, keys, tenant = '', rowTweak = false, tweak } = options
    const { minDomain = DEFAULT_DOMAIN } = options
    const where = `column ${name}`
    if (!Number.isSafeInteger(minDomain) || minDomain < STANDARD_DOMAIN) {
      throw new ConfigError('the floor for the number of possible values is out of range', {
        where,
        expected: `minDomain: a whole number from ${STANDARD_DOMAIN} (SP 800-38G §5.1)`,
        got: String(minDomain),
      })
    }
    if (tweak !== undefined && rowTweak) {
      throw new ConfigError('a column has both an explicit tweak and a row tweak', { where })
    }
    if (format.largest < BigInt(minDomain)) {
      throw placedAt(tooSmall(format.largest, minDomain, format.largest !== format.smallest), where)
    }
    this.#tweaks = new Map(
      Array.from(keys, (version) => {
        const explicit = version.tweak ?? tweak
        if (explicit !== undefined || version.method === 'FF3-1') {
          checkExplicit(explicit, version.method, `${where}, version ${version.number}`)
        }
        const bytes = explicit ?? tweakHead({ tenant, field: name }, version.number)
        return [version.number, { bytes, whole: explicit !== undefined }]
      }),
    )
    this.name = name
    this.currentVersion = keys.current.number
    this.domain = format.smallest
    this.describe = `${format.describe}; ${keys.current.method}, key ${keys.name} version ${keys.current.number}`
    this.#format = format
    this.#keys = keys
    this.#floor = minDomain
    this.#rowTweak = rowTweak
  }

  encryptEach(
    values: readonly string[],
    options: EachOptions = {},
  ): Promise<(string | FpeError)[]> {
    if (options.versions !== undefined) {
      return Promise.reject(
        new FpeError('KEY_VERSION_UNKNOWN', 'values are encrypted under the current version only', {
          where: `column ${this.name}`,
        }),
      )
    }
    return this.#each('encrypt', values, options)
  }

  decryptEach(
    values: readonly string[],
    options: EachOptions = {},
  ): Promise<(string | FpeError)[]> {
    return this.#each('decrypt', values, options)
  }

  async rewrapEach(
    values: readonly string[],
    options: EachOptions,
  ): Promise<(string | FpeError)[]> {
    const { signal, rowTweaks } = options
    this.#keys.for('encrypt', this.currentVersion)
    const plain = await this.#each('decrypt', values, options)
    // Values that did not decrypt are set aside, so that they do not reach the key a second time.
    const good: number[] = []
    for (const [index, value] of plain.entries()) if (typeof value === 'string') good.push(index)
    const text = good.map((index) => plain[index] as string)
    const again = await this.#each(
      'encrypt',
      text,
      { signal, ...(rowTweaks && { rowTweaks: good.map((index) => rowTweaks[index] ?? '') }) },
      good,
    )
    for (const [at, index] of good.entries()) plain[index] = again[at] as string | FpeError
    return plain
  }

  /**
   * `indexes`: places of the values in the list of the caller.
   * Fails as a whole when the options do not fit the values, or the key fails.
   */
  async #each(
    direction: Direction,
    values: readonly string[],
    { versions = this.currentVersion, rowTweaks, signal }: EachOptions,
    indexes?: readonly number[],
  ): Promise<(string | FpeError)[]> {
    this.#checkLists(values, versions, rowTweaks)
    if (direction === 'encrypt') this.#keys.for(direction, this.currentVersion)
    const results = new Array<string | FpeError>(values.length)
    // Also by slices of what stands before and after the key: a million values are parsed without a long halt.
    const sizeOf = (at: number): number => values[at]?.length ?? 0
    const run = async (from: number, to: number): Promise<void> => {
      // A cipher is for one method: FF3-1 wants its key reversed, FF1 does not take such a key.
      const groups = new Map<BlockCipher, { method: Method; jobs: Job[] }>()
      for (let index = from; index < to; index++) {
        try {
          const number = typeof versions === 'number' ? versions : (versions[index] ?? 0)
          const version = this.#keys.for(direction, number)
          const job = this.#job(values[index], index, version, rowTweaks?.[index])
          const group = groups.get(version.cipher)
          if (group !== undefined) group.jobs.push(job)
          else groups.set(version.cipher, { method: version.method, jobs: [job] })
        } catch (error) {
          if (!(error instanceof FpeError)) throw error
          results[index] = placedAt(error, `column ${this.name}`, indexes?.[index] ?? index)
        }
      }
      for (const [cipher, { method, jobs }] of groups) {
        const done = await walkRecords(runRecords, cipher, method, direction, jobs, { signal })
        for (const [at, { index, parsed }] of jobs.entries()) {
          results[index] = this.#format.rebuild(parsed, done[at] as Uint16Array)
        }
      }
    }
    await inSlices(values.length, sizeOf, run, { signal })
    return results
  }

  #checkLists(
    values: readonly string[],
    versions: number | readonly number[],
    rowTweaks: readonly string[] | undefined,
  ): void {
    checkList(values)
    const where = `column ${this.name}`
    if (typeof versions !== 'number' && versions.length !== values.length) {
      throw new FpeError('LENGTH_INVALID', 'there is not one version for each value', {
        where,
        expected: `${values.length} versions`,
        got: String(versions.length),
      })
    }
    if (this.#rowTweak ? rowTweaks?.length !== values.length : rowTweaks !== undefined) {
      throw new FpeError('TWEAK_INVALID', 'row tweaks do not fit the column', {
        where,
        expected: this.#rowTweak ? 'one for each value' : 'none',
        got: rowTweaks === undefined ? 'none' : String(rowTweaks.length),
      })
    }
  }

  /** @throws FpeError of the value. */
  #job(
    value: string | undefined,
    index: number,
    version: UsableVersion,
    row: string | undefined,
  ): Job {
    if (typeof value !== 'string') {
      throw new FpeError('FORMAT_MISMATCH', 'a value is not text', { expected: 'a string' })
    }
    const parsed = this.#format.parse(value)
    const { domain, numerals } = parsed
    if (domain.size < BigInt(this.#floor)) throw tooSmall(domain.size, this.#floor, false)
    const known = this.#tweaks.get(version.number)
    // Going on would bind the value to nothing.
    if (known === undefined) throw new TypeError('a key version without a tweak')
    const tweak = known.whole ? known.bytes : tweakOf(known.bytes, parsed.clear, row)
    // FF1 takes whatever passed so far; FF3-1 ends earlier, and one long value must not fail the batch.
    if (version.method === 'FF3-1') {
      checkShape(version.method, domain.radix, numerals.length, tweak.length)
    }
    return { index, parsed, domain, radix: domain.radix, numerals, tweak }
  }
}

/**
 * A column of a data set.
 * @throws ConfigError on options that do not fit each other; FpeError DOMAIN_TOO_SMALL when even the longest
 * value has fewer possible values at its encrypted positions than `minDomain`.
 */
export const column = (options: ColumnOptions): Column => new FormatColumn(options)
