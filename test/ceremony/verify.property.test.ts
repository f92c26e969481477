/** Whatever byte of a bundle is changed, `verify` answers, and never that it holds. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { readBundle, sumsOf } from '../../src/ceremony/bundle.ts'
import { verify } from '../../src/ceremony/verify.ts'
import { scratch } from '../tokens.ts'
import { forge, makeTroupe } from './verify-forge.ts'

const root = scratch('verify-property')
const dir = join(root, 'bundle')
const pristine = join(root, 'pristine')
let paths: string[] = []

beforeAll(async () => {
  await forge(dir, makeTroupe())
  cpSync(dir, pristine, { recursive: true })
  paths = (await readBundle(dir)).files.map(({ path }) => path)
})
afterAll(() => {
  rmSync(root, { recursive: true, force: true })
})

describe('one changed byte', () => {
  it.each([
    ['with the old sums', false],
    ['with new sums', true],
  ])('anywhere, %s, is refused', async (_name, again) => {
    const place = fc.record({
      file: fc.nat(),
      at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      bit: fc.nat({ max: 7 }),
    })
    await fc.assert(
      fc.asyncProperty(place, async ({ file, at, bit }) => {
        const names = again ? paths.filter((path) => path !== 'SHA256SUMS') : paths
        const name = names[file % names.length] ?? ''
        const bytes = readFileSync(join(pristine, name))
        const index = Math.floor(at * bytes.length)
        bytes[index] = (bytes[index] ?? 0) ^ (1 << bit)
        writeFileSync(join(dir, name), bytes)
        if (again) writeFileSync(join(dir, 'SHA256SUMS'), await sumsOf(await readBundle(dir)))
        try {
          const { ok, errors } = await verify(dir)
          expect(ok, `${name} byte ${index} bit ${bit}`).toBe(false)
          expect(errors.length).toBeGreaterThan(0)
        } finally {
          for (const path of [name, 'SHA256SUMS']) cpSync(join(pristine, path), join(dir, path))
        }
      }),
      { numRuns: 40 },
    )
  })
})
