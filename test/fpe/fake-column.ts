/** A column without cryptography, for tests of what is around it: digits are moved by the version, in place. */
import { FpeError } from '../../src/errors.ts'
import type { Column, EachOptions } from '../../src/fpe/types.ts'

/** How {@link fakeColumn} behaves. */
export interface FakeOptions {
  readonly currentVersion?: number
  /** Versions it knows; default: all. */
  readonly versions?: readonly number[]
  /** Which characters are values; others make a bad value. Default: digits. */
  readonly symbols?: string
  /** Called before each batch. */
  readonly onCall?: (count: number) => Promise<void> | void
}

/** Shifts every symbol by the version; the inverse is the shift back. */
export function fakeColumn(name: string, options: FakeOptions = {}): Column {
  const { currentVersion = 1, versions, symbols = '0123456789', onCall } = options
  const shift = (value: string, by: number): string | FpeError => {
    const out: string[] = []
    for (const symbol of value) {
      const at = symbols.indexOf(symbol)
      if (at < 0) return new FpeError('SYMBOL_INVALID', 'a character is not in the alphabet')
      const n = symbols.length
      out.push(symbols[(((at + by) % n) + n) % n] ?? '')
    }
    return out.join('')
  }
  const each = async (
    values: readonly string[],
    { versions: from, signal }: EachOptions,
    step: (value: string, version: number) => string | FpeError,
  ): Promise<(string | FpeError)[]> => {
    await onCall?.(values.length)
    signal?.throwIfAborted()
    return values.map((value, i) => {
      const version = (typeof from === 'number' ? from : from?.[i]) ?? currentVersion
      return versions !== undefined && !versions.includes(version)
        ? new FpeError('KEY_VERSION_UNKNOWN', 'no key of this version')
        : step(value, version)
    })
  }
  return {
    name,
    currentVersion,
    domain: 10n ** 16n,
    describe: 'digits moved by the version',
    encryptEach: (values, { signal } = {}) =>
      each(values, { signal }, (value) => shift(value, currentVersion)),
    decryptEach: (values, given = {}) =>
      each(values, given, (value, version) => shift(value, -version)),
    rewrapEach: (values, given) =>
      each(values, given, (value, version) => shift(value, currentVersion - version)),
  }
}
