/** Errors told with more than who threw them knew: the file, token or item they are about, or how to go on. */
import type { KeyriteError } from '../errors.ts'

/** The same error, of the same class and with the same cause, with another place and, if given, another hint. */
export function placedError<Thrown extends KeyriteError>(
  error: Thrown,
  {
    where,
    hint = error.hint,
  }: { readonly where: string | undefined; readonly hint?: string | undefined },
): Thrown {
  return Object.create(error, {
    where: { value: where, enumerable: true },
    hint: { value: hint, enumerable: true },
  }) as Thrown
}
