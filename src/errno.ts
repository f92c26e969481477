/** Faults of the operating system, as Node throws them. */

/** The `code` of a system error, e.g. `ENOSPC`; undefined for everything else that can be thrown. */
export const errnoOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EISDIR: 'a directory',
  EACCES: 'no permission to read',
  ENOTDIR: 'a path through something that is not a directory',
  ELOOP: 'too many symbolic links',
}

/** Why a file cannot be read, for people; undefined for what lies neither in its path nor in its rights. */
export const unreadableReason = (error: unknown): string | undefined =>
  UNREADABLE[errnoOf(error) ?? '']
