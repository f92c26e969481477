/** A network HSM: SoftHSM behind a module that makes every call of the C_Encrypt family wait. */
import { interposer } from '../pkcs11/interposer.ts'
import { SOFTHSM_MODULE } from '../tokens.ts'

/** See the head of this file. */
export interface DelayModule {
  /** Path for `loadModule`. */
  readonly module: string
  /** Round trip from now on; 0: none. */
  readonly delay: (milliseconds: number) => void
  readonly close: () => void
}

/** Compiles the module into `dir` and lets each call wait `milliseconds`. */
export function delayModule(dir: string, milliseconds = 0.5): DelayModule {
  const { module, delay, close } = interposer(dir, SOFTHSM_MODULE)
  delay(milliseconds)
  return { module, delay, close }
}
