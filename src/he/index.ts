/**
 * `keyrite/he`: exact search over homomorphically encrypted embeddings. Three parties: a key holder that
 * encrypts queries and opens scores, an ingest that encrypts vectors, a scorer that sees ciphertexts only.
 * Scorer and ingest have doors of their own, `keyrite/he/scorer` and `keyrite/he/ingest`.
 */
export * from './scorer-side.ts'
export * from './ingest-side.ts'
export {
  type CreateCollectionOptions,
  type HolderSearchOptions,
  type KeyHolder,
  createKeyHolder,
} from './key-holder.ts'
export type { KeySeed } from './keyring.ts'
export type { Hit, QueryVector, SearchOptions, SearchTimings } from './search.ts'
export type { CompactOptions, CompactReport } from './compact.ts'
export type { PurgeOptions } from './purge.ts'
export type { RotateReport } from './rotate.ts'
export type { MaintenanceOptions } from './rebuild.ts'
export {
  DEFAULT_PARAMETER_SET,
  PUBLIC_KEY_PARAMETER_SET,
  type Geometry,
  type ParameterSet,
  geometryOf,
  parseParameterSet,
} from './parameters.ts'
export { type IngestMode, failureProbabilityLog2 } from './failure.ts'
export * from './export-items.ts'
