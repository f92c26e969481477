/** Compiles `doctor-evil.cc` into a directory of this run. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

const compile = (out: string, defines: readonly string[]): string => {
  const source = join(import.meta.dirname, 'doctor-evil.cc')
  const flags = ['-std=c++17', '-shared', '-fPIC', ...defines.map((define) => `-D${define}`)]
  execFileSync('g++', [...flags, '-o', out, source, '-ldl'], { stdio: ['ignore', 'pipe', 'pipe'] })
  return out
}

/** A module that goes wrong before it is initialised. */
export const evilModule = (dir: string, fault: string): string =>
  compile(join(dir, `evil-${fault}.so`), [fault])

/** The real module with one function of its list replaced. */
export const impostor = (dir: string, real: string, replace: string, by: string): string =>
  compile(join(dir, `impostor-${replace}-${by}.so`), [
    `REAL_MODULE="${real}"`,
    `REPLACE=${replace}`,
    `WITH=${by}`,
  ])
