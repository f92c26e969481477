/** The life of a key after its birth: wraps, embedding seeds, destruction with attempts to falsify it. */
export * from './absence.ts'
export * from './embedding-seed.ts'
export * from './nested-wrap.ts'
export * from './single-wrap.ts'
export { type KekOnToken } from './wrap-schema.ts'
export * from './wrapped-key.ts'
export * from './zeroise.ts'
