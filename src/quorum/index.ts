/** Dual control: split PINs, share files, receipts, OpenSSH signatures, signed approvals. */
export * from './commitments.ts'
export * from './pin.ts'
export * from './share-file.ts'
export * from './split.ts'
export type * from './types.ts'
