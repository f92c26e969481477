/** Dual control: split PINs, share files, receipts, OpenSSH signatures, signed approvals. */
export type * from './types.ts'
