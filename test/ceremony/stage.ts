/**
 * A site for engine tests: SoftHSM2 on tmpfs, a cast whose keys all lie on disk (so that another process
 * can play it), and the shipped plans rehearsed up to a point.
 */
import { cpSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'

import type { RunPorts } from '../../src/ceremony/index.ts'
import { type Hsm, loadModule } from '../../src/pkcs11/index.ts'
import { type SoftHsm, scratch, softHsm } from '../tokens.ts'
import { clock, random } from './ports.ts'

/** A plan shipped with keyrite. */
export const shipped = (name: string): string =>
  resolve(import.meta.dirname, '..', '..', 'ceremonies', `${name}.yaml`)

/** A module and a work directory that can be set back. */
export interface Stage {
  readonly softhsm: SoftHsm
  readonly hsm: Hsm
  readonly workDir: string
  readonly ports: Omit<RunPorts, 'room'>
  cleanup(): Promise<void>
}

export async function openStage(purpose: string): Promise<Stage> {
  const softhsm = softHsm()
  const workDir = scratch(purpose)
  const hsm = await loadModule(softhsm.module)
  return {
    softhsm,
    hsm,
    workDir,
    ports: { hsm, clock, random },
    async cleanup() {
      await hsm[Symbol.asyncDispose]()
      rmSync(workDir, { recursive: true, force: true })
      softhsm.cleanup()
    },
  }
}

/** Copies a directory aside, or back. */
export function copyTree(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true })
  cpSync(from, to, { recursive: true, preserveTimestamps: true })
}
