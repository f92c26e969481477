/** `keyrite/he/ingest`: what a process needs that encrypts vectors with public keys, and cannot decrypt them. */
export type * from './types.ts'
export type * from './store.ts'
export type { Ingest, InsertOptions, Inserted } from './ingest.ts'
export { type OpenStoreOptions, openStore } from './open-store.ts'
export { createIngest } from './public-ingest.ts'
export * from './import-items.ts'
export { jsonLinesItems } from './json-lines-items.ts'
export { linesOf } from './import-lines.ts'
