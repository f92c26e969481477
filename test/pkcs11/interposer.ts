/** Compiles `interposer.cc` in front of a real module, and tells it at any time how to behave. */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** Functions that can fail, and their place in the function list (`bindings/cryptoki.h`). */
const FUNCTIONS = {
  C_EncryptInit: 29,
  C_Encrypt: 30,
  C_EncryptUpdate: 31,
  C_EncryptFinal: 32,
} as const

/** A call that fails. */
export interface Fault {
  readonly fn: keyof typeof FUNCTIONS
  /** CKR_* number. */
  readonly rv: number
  /** How many calls of `fn` go well before. Default 0. */
  readonly after?: number
  /** How many fail in a row. Default 1. */
  readonly times?: number
}

/** See the head of this file. */
export interface Interposer {
  /** Path of the module. */
  readonly module: string
  /** Before every call of C_EncryptInit, C_Encrypt, C_EncryptUpdate, C_EncryptFinal. */
  readonly delay: (milliseconds: number) => void
  /** The token has no AES-ECB. */
  withoutEcb(on: boolean): void
  /** What C_EncryptUpdate does. */
  update(how: 'works' | 'is missing' | 'holds back'): void
  fail(fault: Fault): void
  /** Whether a fault is still to come. */
  pending(): boolean
  /** Everything as the real module does it. */
  reset(): void
  readonly close: () => void
}

const FIELDS = ['delay', 'noEcb', 'update', 'faultFn', 'faultIn', 'faultTimes', 'faultRv'] as const
type Field = (typeof FIELDS)[number]

const FIELD_BYTES = 8

/** Compiles into `dir`; `real` is the path of the module behind. */
export function interposer(dir: string, real: string): Interposer {
  const control = join(dir, 'interposer.control')
  const file = openSync(control, 'w+', 0o600)
  const put = (field: Field, value: number) => {
    const bytes = new BigUint64Array([BigInt(value)])
    writeSync(file, bytes, 0, FIELD_BYTES, FIELDS.indexOf(field) * FIELD_BYTES)
  }
  const reset = () => FIELDS.forEach((field) => put(field, 0))
  reset()
  const module = join(dir, 'interposer.so')
  const source = join(import.meta.dirname, 'interposer.cc')
  const defines = [`-DREAL_MODULE="${real}"`, `-DCONTROL="${control}"`]
  const flags = ['-std=c++17', '-O2', '-shared', '-fPIC', ...defines]
  execFileSync('g++', [...flags, '-o', module, source, '-ldl'])
  return {
    module,
    delay: (milliseconds) => put('delay', Math.round(milliseconds * 1e6)),
    withoutEcb: (on) => put('noEcb', on ? 1 : 0),
    update: (how) => put('update', ['works', 'is missing', 'holds back'].indexOf(how)),
    fail({ fn, rv, after = 0, times = 1 }) {
      put('faultTimes', 0)
      put('faultFn', FUNCTIONS[fn])
      put('faultIn', after)
      put('faultRv', rv)
      put('faultTimes', times)
    },
    pending() {
      const bytes = new BigUint64Array(1)
      readSync(file, bytes, 0, FIELD_BYTES, FIELDS.indexOf('faultTimes') * FIELD_BYTES)
      return bytes[0] !== 0n
    },
    reset,
    close: () => closeSync(file),
  }
}
