/** Compiles `faulty-module.cc` into a directory of this run. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What is wrong with the module from the start. */
export type Variant = 'WORKING' | 'NO_LIST' | 'BAD_VERSION' | 'NO_ENTRY'

export function faultyModule(dir: string, variant: Variant = 'WORKING'): string {
  const out = join(dir, `faulty-${variant}.so`)
  const source = join(import.meta.dirname, 'faulty-module.cc')
  if (!existsSync(out)) {
    execFileSync('g++', ['-std=c++17', '-shared', '-fPIC', `-D${variant}`, '-o', out, source])
  }
  return out
}

/** Lines the module logged. */
export const logged = (file: string): string[] =>
  existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : []
