/** Format-preserving encryption: FF1 (SP 800-38G), and FF3-1 for data that exists. */
export { alphabet, type AlphabetName, alphabets, digits, radixAlphabet } from './alphabet.ts'
export { ff1, ff3_1 } from './cipher.ts'
export { runRecords } from './engine.ts'
export { type Cost, costOf } from './parameters.ts'
export type {
  Alphabet,
  Direction,
  Ff1,
  Ff1Options,
  Ff3_1,
  Ff3_1Options,
  FpeCipher,
  FpeRecord,
  ManyOptions,
  Method,
  PackedOptions,
  RunRecords,
  TweakOption,
} from './types.ts'
