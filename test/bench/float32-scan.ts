/** Time of a brute-force scan of plaintext float32 vectors, in C with all that this CPU has. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Milliseconds, the best of 20 rounds. */
export function float32Scan(vectors: number, dimensions: number, threads: number): number {
  const dir = mkdtempSync(join(tmpdir(), 'keyrite-float32-'))
  try {
    const program = join(dir, 'float32-scan')
    const source = join(import.meta.dirname, 'float32-scan.c')
    const flags = ['-O3', '-march=native', '-ffast-math', '-pthread']
    execFileSync('cc', [...flags, source, '-o', program])
    const sizes = [vectors, dimensions, threads].map(String)
    const printed = execFileSync(program, sizes, { encoding: 'utf8', stdio: 'pipe' })
    return Number(printed)
  } finally {
    rmSync(dir, { recursive: true })
  }
}
