/** Where an error happened, told from further up. */
import { FpeError } from '../errors.ts'

/** The same error with an outer place before its own, and the index of the value it is about. */
export function placedAt(error: FpeError, place: string | undefined, index?: number): FpeError {
  const { code, message, where, expected, got, hint, cause } = error
  const places = [place, where].filter((one) => one !== undefined)
  return new FpeError(code, message, {
    ...(places.length > 0 && { where: places.join(', ') }),
    ...{ expected, got, hint, cause },
    ...(index !== undefined && { index }),
  })
}

/** The same error with the index of the value it is about; errors of the key are about all. */
export const withIndex = (error: unknown, index: number): unknown =>
  error instanceof FpeError ? placedAt(error, undefined, index) : error
