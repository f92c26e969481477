/** Format-preserving encryption: FF1 (SP 800-38G), and FF3-1 for data that exists. */
export { alphabet, type AlphabetName, alphabets, digits } from './alphabet.ts'
export { ff1, ff3_1 } from './cipher.ts'
export { column, type ColumnOptions } from './column.ts'
export { type ColumnFacts, type FpeConfig, openColumns, parseFpeConfig } from './config.ts'
export { date, type DateOptions } from './date.ts'
export { email, type EmailOptions } from './email.ts'
export { runRecords } from './engine.ts'
export type { Format } from './format.ts'
export { iban, type IbanOptions } from './iban.ts'
export { integer, type IntegerOptions } from './integer.ts'
export { type KeyVersion, KeyVersions, type KeyVersionsOptions } from './key-versions.ts'
export { pan, type PanOptions } from './pan.ts'
export { type Cost, costOf } from './parameters.ts'
export { phone, type PhoneOptions } from './phone.ts'
export { softwareAes, type SoftwareAesOptions } from './software-aes.ts'
export { ssn, type SsnOptions } from './ssn.ts'
export { template, type TemplateOptions, type TemplatePart } from './template.ts'
export { text, type TextOptions } from './text.ts'
export type {
  Alphabet,
  Column,
  Direction,
  EachOptions,
  Ff1,
  Ff1Options,
  Ff3_1,
  Ff3_1Options,
  FpeCipher,
  FpeKey,
  FpeRecord,
  ManyOptions,
  Method,
  PackedOptions,
  RunRecords,
  SymbolsOption,
  TweakOption,
} from './types.ts'
export { identifyInput, type InputIdentity, sameInput } from './input-identity.ts'
export { openPart, type PartFile, type PartOptions } from './resume.ts'
export {
  type BadRow,
  type FpeStreamOptions,
  fpePieces,
  fpeTransform,
  type StreamColumn,
  type StreamPiece,
  type StreamProgress,
  type StreamStart,
} from './stream.ts'
export { uuid, type UuidOptions } from './uuid.ts'
