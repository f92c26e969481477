/**
 * Appends from many callers at once until it is killed: node appending-process.ts DIR MODE KEY_PEM.
 * Prints `ack INDEX LEAFHASH` for each acknowledged entry and `signed SIZE` for each checkpoint, each by
 * one synchronous write, so that what the parent has read was acknowledged before the kill.
 */
import { readFileSync, writeSync } from 'node:fs'

import { openLog } from '../../src/audit/index.ts'
import { toHex } from '../../src/bytes.ts'
import { ORIGIN, signerOfPem } from './software-keys.ts'

const [dir = '', mode = '', pem = ''] = process.argv.slice(2)
const signer = signerOfPem(readFileSync(pem, 'utf8'))
const clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() }
const say = (text: string) => writeSync(1, `${text}\n`)

const log = await openLog({ dir, origin: ORIGIN, clock, mode: mode as 'create' | 'append' })
say(`open ${log.size}`)

async function caller(id: number): Promise<never> {
  for (let n = 0; ; n += 1) {
    const { index, leafHash } = await log.append({
      type: 'test.tick',
      id,
      n,
      text: 'x'.repeat(id * 40),
    })
    say(`ack ${index} ${toHex(leafHash)}`)
    if (id === 0 && n % 5 === 0) {
      const note = await log.checkpoint([{ name: ORIGIN, signer }])
      say(`signed ${note.split('\n')[1] ?? ''}`)
    }
  }
}
await Promise.all(Array.from({ length: 16 }, (_, id) => caller(id)))
