/**
 * Writes into a store until the disk takes no more, three times; then waits for a line on stdin and
 * writes once more: node store-full-process.ts DIR SEGMENT_BYTES. Prints JSON objects, one a line.
 */
import { once } from 'node:events'

import { toHex } from '../../src/bytes.ts'
import { KeyriteError } from '../../src/errors.ts'
import { openEmbeddedStore } from '../../src/he/embedded-store.ts'
import { block, bytes, placed } from './store-content.ts'

const [directory = '', segmentBytes = ''] = process.argv.slice(2)
await using store = await openEmbeddedStore(directory, { segmentBytes: Number(segmentBytes) })
const acknowledged: string[] = []
const errors: unknown[] = []
const write = async (): Promise<boolean> => {
  const records = placed(8).map((one) => ({ ...one, sealed: bytes(1500) }))
  try {
    await store.commit('things', { blocks: [block(8, { bytes: bytes(30_000) })], records })
    acknowledged.push(...records.map(({ token }) => toHex(token)))
    return true
  } catch (error) {
    errors.push(error instanceof KeyriteError ? error.toJSON() : { message: String(error) })
    return false
  }
}
const say = () => process.stdout.write(`${JSON.stringify({ acknowledged, errors })}\n`)
while (await write());
await write()
await write()
say()
await once(process.stdin, 'data')
await write()
say()
process.stdin.destroy()
