/** Encrypts a file into a part, for tests that kill it: node part-process.ts INPUT OUTPUT. Resumes what is there. */
import { open } from 'node:fs/promises'

import { identifyInput } from '../../src/fpe/input-identity.ts'
import { openPart } from '../../src/fpe/resume.ts'
import { fpePieces } from '../../src/fpe/stream.ts'
import { fakeColumn } from './fake-column.ts'

const [path = '', output = ''] = process.argv.slice(2)
const file = await open(path)
const clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() }
const rejects = `${output}.rejects`
{
  await using part = await openPart({
    ...{ output, rejects, resume: true, replace: false, recipe: 'test', onError: 'report', clock },
    input: await identifyInput(file),
    checkpointBytes: 2000,
  })
  const { progress } = part
  const bytes = new Uint8Array(await file.readFile())
  async function* source() {
    for (let at = progress?.inputBytes ?? 0; at < bytes.length; at += 500) {
      yield await Promise.resolve(bytes.subarray(at, at + 500))
    }
  }
  const from = progress && { progress, preamble: bytes.subarray(0, progress.preambleBytes) }
  const pieces = fpePieces(
    source(),
    {
      format: 'csv',
      direction: 'encrypt',
      columns: [{ column: fakeColumn('pan'), versionField: 'v' }],
      onError: 'skip',
      batchRows: 16,
      blockBytes: 400,
    },
    from,
  )
  for await (const piece of pieces) {
    const lines = piece.badRows.map(({ line }) => `${line}\n`).join('')
    await part.write(piece.bytes, Buffer.from(lines), piece.progress)
  }
  await part.publish()
}
await file.close()
