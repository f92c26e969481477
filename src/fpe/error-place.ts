/** Where an error happened, told from further up. */
import { FpeError } from '../errors.ts'

/** The same error with an outer place before its own, and the index of the value it is about. */
export function placedAt(error: FpeError, place: string, index?: number): FpeError {
  const { code, message, where, expected, got, hint, cause } = error
  return new FpeError(code, message, {
    where: where === undefined ? place : `${place}, ${where}`,
    ...{ expected, got, hint, cause },
    ...(index !== undefined && { index }),
  })
}
