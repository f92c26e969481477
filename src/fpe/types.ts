/** What the FPE layer offers to the layers above it. Lengths in symbols, tweaks in bytes. */
import type { FpeError } from '../errors.ts'
import type { BlockCipher } from '../ports.ts'

/** FF1: SP 800-38G. FF3-1: only ever in a draft (SP 800-38G Rev. 1, 2019), not NIST-approved. */
export type Method = 'FF1' | 'FF3-1'

/** Encryption or its inverse; both use the forward cipher only. */
export type Direction = 'encrypt' | 'decrypt'

/** An ordered set of symbols. Order is part of the format: another order gives other ciphertexts. */
export interface Alphabet {
  /** Name of a built-in alphabet, else `sha256:` and 16 hex digits over the ordered symbols. Store it with the data. */
  readonly id: string
  /** Grapheme strings, in order; numeral i is `symbols[i]`. */
  readonly symbols: readonly string[]
  /** 2 to 65,536. */
  readonly radix: number
  /** Runs of consecutive characters as {@link FeistelGroup.characters} wants them, when every symbol is one ASCII character. */
  readonly asciiRuns: Uint8Array | undefined
  /** Numerals of a text. @throws FpeError SYMBOL_INVALID with the place, not the symbol. */
  encode(text: string): Uint16Array
  /** Text of numerals. @throws FpeError SYMBOL_INVALID. */
  decode(numerals: ArrayLike<number>): string
}

/** Options of every form of a call. */
export interface TweakOption {
  /** Not secret. Default: the cipher's own; without one it must be given. FF3-1: 7 bytes. */
  readonly tweak?: Uint8Array
}

/** Options of the forms for many values. */
export interface ManyOptions extends TweakOption {
  /** One for each value, instead of one for all. */
  readonly tweaks?: readonly Uint8Array[]
  /** Stops between two calls to the key; the promise rejects with FpeError ABORTED and nothing is returned. */
  readonly signal?: AbortSignal
  readonly onProgress?: (done: number, total: number) => void
}

/** Options of the packed form. */
export interface PackedOptions extends TweakOption, Pick<ManyOptions, 'signal' | 'onProgress'> {
  /** Characters per record. */
  readonly length: number
}

/**
 * FF1 or FF3-1 under one key over one alphabet. Deterministic, and without integrity: a wrong key or tweak
 * gives a plausible wrong value. Whoever may encrypt may decrypt: both use the forward cipher.
 * All methods throw FpeError LENGTH_INVALID, SYMBOL_INVALID, TWEAK_INVALID, DOMAIN_TOO_SMALL (with `index`
 * in the forms for many), and what the block cipher throws. Nothing is sent to the key before all input is checked,
 * per slice of some thousand values.
 */
export interface FpeCipher {
  readonly method: Method
  /** false: interoperability only. */
  readonly approved: boolean
  readonly alphabet: Alphabet
  /** Shortest value: radix^minLength reaches the smallest domain allowed. */
  readonly minLength: number
  readonly maxLength: number
  encrypt(value: string, options?: TweakOption): Promise<string>
  decrypt(value: string, options?: TweakOption): Promise<string>
  encryptMany(values: readonly string[], options?: ManyOptions): Promise<string[]>
  decryptMany(values: readonly string[], options?: ManyOptions): Promise<string[]>
  encryptNumerals(numerals: ArrayLike<number>, options?: TweakOption): Promise<Uint16Array>
  decryptNumerals(numerals: ArrayLike<number>, options?: TweakOption): Promise<Uint16Array>
  /** Records of `length` ASCII characters one after another; returns the same form. Only for alphabets with `asciiRuns`. */
  encryptPacked(records: Uint8Array, options: PackedOptions): Promise<Uint8Array>
  decryptPacked(records: Uint8Array, options: PackedOptions): Promise<Uint8Array>
}

/** A block cipher, or a key that has one, such as a key of a token. */
export type FpeKey = BlockCipher | { blockCipher(): BlockCipher }

/** Symbols, or a radix alone for numerals without symbols. */
export type SymbolsOption =
  | { readonly alphabet: Alphabet | readonly string[]; readonly radix?: never }
  | { readonly radix: number; readonly alphabet?: never }

/** Options of {@link Ff1}. */
export type Ff1Options = SymbolsOption & {
  readonly key: FpeKey
  /** For calls that bring none. Empty must be said: `new Uint8Array()`. */
  readonly tweak?: Uint8Array
  /**
   * Smallest number of possible values, 1,000,000 by default (SP 800-38G Rev. 1 drafts). Down to 100
   * (SP 800-38G §5.1) for data that exists already; says nothing good about new data.
   */
  readonly minDomain?: number
}

/** See `ff1`. */
export type Ff1 = (options: Ff1Options) => FpeCipher

/** Options of {@link Ff3_1}. */
export type Ff3_1Options = Ff1Options & {
  /** FF3-1 is not NIST-approved: removed from SP 800-38G Rev. 1 in February 2025. */
  readonly allowNonApproved: true
  /** FF3-1 decrypts by default: for reading what exists. */
  readonly allowEncrypt?: boolean
}

/** See `ff3_1`. @throws FpeError NOT_APPROVED, KEY_NOT_REVERSED. */
export type Ff3_1 = (options: Ff3_1Options) => FpeCipher

/** One value for {@link RunRecords}. */
export interface FpeRecord {
  readonly radix: number
  readonly numerals: Uint16Array
  readonly tweak: Uint8Array
}

/**
 * `runRecords(cipher, method, direction, records, { signal })`: records of any radix, length and tweak in
 * shared calls; results in order. The floor of the standard (domain 100) is enforced here; the floor of
 * 1,000,000 by whoever knows the domain.
 */
export type RunRecords = (
  cipher: BlockCipher,
  method: Method,
  direction: Direction,
  records: readonly FpeRecord[],
  options?: { readonly signal?: AbortSignal | undefined },
) => Promise<Uint16Array[]>

/** A column of a data set: a format, its keys by version, and what its tweak is bound to. */
export interface Column {
  /** Field name; bound into the tweak. */
  readonly name: string
  /** Version new values are encrypted under. */
  readonly currentVersion: number
  /** Values possible at the encrypted positions of the shortest value the format takes. */
  readonly domain: bigint
  /** One sentence for people: what is encrypted, what stays. */
  readonly describe: string
  /** Under the current version. A bad value gives its error in place and does not disturb the others. */
  encryptEach(values: readonly string[], options?: EachOptions): Promise<(string | FpeError)[]>
  /** Under the version stored beside each value, or one for all; default: the current one. */
  decryptEach(values: readonly string[], options?: EachOptions): Promise<(string | FpeError)[]>
  /** From the version stored beside each value to the current one. */
  rewrapEach(values: readonly string[], options: EachOptions): Promise<(string | FpeError)[]>
}

/** Options of a column's methods. */
export interface EachOptions {
  readonly versions?: number | readonly number[]
  /** One text for each value, for columns with a row tweak, and only for those. */
  readonly rowTweaks?: readonly string[]
  readonly signal?: AbortSignal | undefined
}
