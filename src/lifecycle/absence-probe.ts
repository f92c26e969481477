/** Child process of `absence.ts`: reads a query line and the PIN from standard input, prints the counts. */
import { readFileSync } from 'node:fs'

import { fromHex, fromUtf8, wipe } from '../bytes.ts'
import { loadModule } from '../pkcs11/index.ts'
import type { AbsenceAnswer, AbsenceQuery } from './absence.ts'

const input = new Uint8Array(readFileSync(0))
const end = input.indexOf(0x0a)
const query = JSON.parse(fromUtf8(input.subarray(0, end))) as AbsenceQuery
const pin = input.slice(end + 1)
input.fill(0)

await using hsm = await loadModule(query.modulePath)
await using token = await hsm.login(query.tokenUri, { pin })
wipe(pin)
const answer: AbsenceAnswer = {
  byId: (await token.find({ id: fromHex(query.id) })).length,
  byLabel: (await token.find({ label: query.label })).length,
}
process.stdout.write(JSON.stringify(answer))
