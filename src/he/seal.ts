/**
 * Microsoft SEAL as WebAssembly (node-seal), loaded once and only when something is encrypted or decrypted.
 * SEAL makes and opens every ciphertext; nothing here or beside it does cryptography of its own.
 * What SEAL is given to parse has been written by `seal-layout.ts`, never by a stranger.
 */
import type { MainModule, SEALContext } from 'node-seal'

import { EmbeddingError } from '../errors.ts'
import type { ParameterSet } from './parameters.ts'
import type { SealLayout } from './seal-layout.ts'

export type { Ciphertext, Encryptor, Plaintext, SecretKey } from 'node-seal'

/** SEAL under one parameter set. */
export interface Seal {
  readonly lib: MainModule
  readonly context: SEALContext
  readonly layout: SealLayout
}

/** Anything of SEAL's that must be given back: its memory is not the JavaScript engine's. */
interface Owned {
  delete(): void
}

let loading: Promise<MainModule> | undefined
const contexts = new Map<string, Promise<Seal>>()

/** The library. */
async function load(): Promise<MainModule> {
  loading ??= import('node-seal').then(({ initialize }) => initialize())
  try {
    return await loading
  } catch (error) {
    // Not kept: what failed for want of memory may work later.
    loading = undefined
    throw error
  }
}

/** SEAL for a parameter set; contexts are kept for the life of the process. */
export function seal(set: ParameterSet): Promise<Seal> {
  const known = contexts.get(set.name)
  if (known !== undefined) return known
  const made = load().then((lib) => makeContext(lib, set))
  contexts.set(set.name, made)
  made.catch(() => contexts.delete(set.name))
  return made
}

function makeContext(lib: MainModule, set: ParameterSet): Seal {
  const owned: Owned[] = []
  const own = <T extends Owned>(one: T): T => {
    owned.push(one)
    return one
  }
  try {
    const parms = own(new lib.EncryptionParameters(lib.SchemeType.bgv))
    parms.setPolyModulusDegree(set.degree)
    parms.setCoeffModulus(own(lib.vecFromArrayModulus([own(new lib.Modulus(set.modulus))])))
    parms.setPlainModulus(own(new lib.Modulus(BigInt(2 ** set.plainBits))))
    // One prime: no chain to expand. SEAL refuses what is beyond its 128-bit table.
    const context = new lib.SEALContext(parms, false, lib.SecLevelType.tc128)
    if (!context.parametersSet()) {
      context.delete()
      throw new EmbeddingError('PARAMETERS_UNSAFE', 'SEAL refuses the parameters', {
        where: set.name,
      })
    }
    const words = own(context.keyParmsId()).values() as BigUint64Array
    const parmsId = new Uint8Array(8 * words.length)
    const view = new DataView(parmsId.buffer)
    words.forEach((word, i) => view.setBigUint64(8 * i, word, true))
    return { lib, context, layout: { set, parmsId } }
  } finally {
    for (const one of owned) one.delete()
  }
}

/**
 * Runs calls into SEAL. Its exceptions are WebAssembly's own, with nothing a caller could use.
 * @throws EmbeddingError CIPHERTEXT_INVALID when SEAL throws.
 */
export function inSeal<T>(where: string, calls: () => T): T {
  try {
    return calls()
  } catch (error) {
    // C++ exceptions arrive as WebAssembly.Exception, which is no Error.
    if (error instanceof Error) throw error
    throw new EmbeddingError('CIPHERTEXT_INVALID', 'SEAL refused its input', { where })
  }
}
