/** Faults of the operating system, as Node throws them. */

/** The `code` of a system error, e.g. `ENOSPC`; undefined for everything else that can be thrown. */
export const errnoOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined
