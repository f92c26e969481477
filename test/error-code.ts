/** Codes of errors, for tests that look at the code only. */
import { KeyriteError } from '../src/errors.ts'

function codeOf(error: unknown): string {
  if (!(error instanceof KeyriteError)) throw error
  const { code }: KeyriteError = error
  return code
}

/** Code of the error that `run` throws, or `none`. Errors that are not keyrite's are thrown on. */
export function thrownCode(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    return codeOf(error)
  }
  return 'none'
}

/** As {@link thrownCode}, also of what a promise of `run` is rejected with. */
export async function rejectedCode(run: () => unknown): Promise<string> {
  try {
    await run()
  } catch (error) {
    return codeOf(error)
  }
  return 'none'
}
