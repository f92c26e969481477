/** The life of a key after its birth: nested wrap, and destruction with attempts to falsify it. */
export * from './absence.ts'
export * from './nested-wrap.ts'
export * from './zeroise.ts'
