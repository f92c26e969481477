/** Files of items for tests, and what reading them gives. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { type ImportOptions, openItems } from '../../src/he/import-items.ts'
import type { Item } from '../../src/he/types.ts'

/** Files of a vector set in test/vectors/he, by name. */
export function vectorFiles(set: string): Readonly<Record<string, Uint8Array>> {
  const path = join(import.meta.dirname, '../vectors/he', `${set}.json`)
  const { files } = JSON.parse(readFileSync(path, 'utf8')) as { files: Record<string, string> }
  return Object.fromEntries(
    Object.entries(files).map(([name, text]) => [name, Buffer.from(text, 'base64')]),
  )
}

/** Writes a file and returns its path. */
export function put(dir: string, name: string, content: string | Uint8Array): string {
  const path = join(dir, name)
  writeFileSync(path, content)
  return path
}

/** Everything an iterable gives. */
export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of source) all.push(one)
  return all
}

/** All items of a file. */
export async function readItems(
  path: string,
  options: ImportOptions = {},
  skip?: number,
): Promise<Item[]> {
  await using source = await openItems(path, options)
  return await collect(source.items(skip))
}

/** What a refusal says. */
export interface Refusal {
  readonly name: string
  readonly where: string
  readonly message: string
  readonly text: string
}

/** Reads a file that must be refused. */
export async function refusal(path: string, options: ImportOptions = {}): Promise<Refusal> {
  try {
    await readItems(path, options)
  } catch (error) {
    const { name, message, where = '' } = error as Error & { where?: string }
    return { name, message, where, text: JSON.stringify(error) }
  }
  throw new Error(`${path} was read`)
}
