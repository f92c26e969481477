/** The root export: errors and types only. Everything else is a subpath. */
export * from './errors.ts'
export type * from './ports.ts'
export type * from './types.ts'
