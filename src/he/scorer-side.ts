/**
 * `keyrite/he/scorer`: what a process needs that computes on ciphertexts. Nothing here, or behind it, can
 * hold a key or decrypt (test/he/roles.test.ts).
 */
export * from './types.ts'
export type * from './store.ts'
export { type OpenStoreOptions, openStore } from './open-store.ts'
export { type LocalScorer, type ScorerOptions, createScorer } from './scorer.ts'
export { type KernelPath, kernelPaths } from './scan-kernel.ts'
export * from './scorer-server.ts'
export * from './scorer-client.ts'
export { type QueueScorerOptions, queueScorer } from './queue-scorer.ts'
export { type ScanWorkerOptions, type WorkerEvent, runScanWorker } from './scan-worker.ts'
