/**
 * The library layers, loaded when a command needs them: `--help` starts at once and loads no native code.
 * All dynamic imports stand here, because TypeScript 6.0 leaves the `.ts` of an import as it is inside a
 * function that has `using` declarations, and such an import breaks in `dist`.
 */

export const auditLibrary = () => import('../audit/index.ts')
export const ceremonyLibrary = () => import('../ceremony/index.ts')
export const embeddingLibrary = () => import('../he/index.ts')
export const fpeLibrary = () => import('../fpe/index.ts')
/** Encrypts with public keys; cannot decrypt. */
export const ingestLibrary = () => import('../he/ingest-side.ts')
export const lifecycleLibrary = () => import('../lifecycle/index.ts')
export const pkcs11Library = () => import('../pkcs11/index.ts')
export const quorumLibrary = () => import('../quorum/index.ts')
/** Computes on ciphertexts; has no key code. */
export const scorerLibrary = () => import('../he/scorer-side.ts')
