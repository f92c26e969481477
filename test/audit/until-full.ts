/** Appends until the disk takes no more: node until-full.ts DIR KEY_PEM. Prints one JSON object. */
import { readFileSync } from 'node:fs'

import { openLog } from '../../src/audit/index.ts'
import { KeyriteError } from '../../src/errors.ts'
import { ORIGIN, signerOfPem } from './software-keys.ts'

const [dir = '', pem = ''] = process.argv.slice(2)
const signer = signerOfPem(readFileSync(pem, 'utf8'))
const clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() }
const log = await openLog({ dir, origin: ORIGIN, clock, mode: 'create' })
await log.checkpoint([{ name: ORIGIN, signer }])
let acknowledged = 0
const errors: Record<string, string>[] = []
const attempt = async (action: () => Promise<unknown>) => {
  try {
    await action()
    return true
  } catch (error) {
    errors.push(error instanceof KeyriteError ? error.toJSON() : { message: String(error) })
    return false
  }
}
const one = () => log.append({ type: 'test.fill', text: 'x'.repeat(500) })
while (await attempt(one)) acknowledged += 1
await attempt(one)
await attempt(() => log.checkpoint([{ name: ORIGIN, signer }]))
await log[Symbol.asyncDispose]()
process.stdout.write(JSON.stringify({ acknowledged, size: log.size, errors }))
