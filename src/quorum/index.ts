/** Dual control: split PINs, share files, receipts, OpenSSH signatures, signed approvals. */
export * from './allowed-signers.ts'
export * from './commitments.ts'
export * from './pin.ts'
export * from './share-file.ts'
export * from './split.ts'
export * from './ssh-key.ts'
export * from './sshsig.ts'
export type * from './types.ts'
