/** After whole ceremonies, `pkcs11-tool -O` on the real tokens agrees with what the transcripts list. */
import { rmSync } from 'node:fs'

import { afterAll, beforeAll, expect, it } from 'vitest'

import { type Entry, type Ledger, rehearse } from '../../src/ceremony/index.ts'
import { loadModule } from '../../src/pkcs11/index.ts'
import { type Ours, inItsWords, pkcs11Tool, sorted } from '../pkcs11-tool.ts'
import { scratch, softHsm } from '../tokens.ts'
import { entriesOf, ledgerOf, userPin } from './cast-pin.ts'
import { clock, random } from './ports.ts'
import { shipped } from './stage.ts'

const softhsm = softHsm()
const workDir = scratch('inventory')
let entries: Entry[]
let ledger: Ledger

beforeAll(async () => {
  await using hsm = await loadModule(softhsm.module)
  const done = await rehearse({
    plans: [shipped('wrap-for-distribution')],
    workDir,
    hsm,
    clock,
    random,
    filesOnly: true,
  })
  const last = done.at(-1)?.outcome
  expect(last?.error?.toJSON()).toBeUndefined()
  entries = entriesOf(last?.dir ?? '')
  ledger = ledgerOf(entries)
}, 120_000)

afterAll(() => {
  rmSync(workDir, { recursive: true, force: true })
  softhsm.cleanup()
})

interface Listing {
  readonly token: string
  readonly objects: Ours[]
}

it.each(['vault', 'custody'])('%s: count, labels, ids, usage and access flags', async (token) => {
  const lists = entries.flatMap((entry) =>
    entry.type === 'record' && entry.name === 'token.objects' ? [entry.data as Listing] : [],
  )
  // The last list of the token. Custody is listed by no step of this plan: its keys are the ledger's.
  const last = lists.findLast((listing) => listing.token === token)
  const listed = pkcs11Tool(softhsm.module, token, await userPin(workDir, ledger, token))
  if (last === undefined) {
    const known = Object.values(ledger.keys).filter((key) => key.token === token)
    expect(listed.map(({ label, id }) => ({ label, id }))).toEqual(
      known.map(({ label, id }) => ({ label, id })),
    )
    return
  }
  const { objects } = last
  expect(objects.length).toBeGreaterThan(2)
  expect(sorted(listed)).toEqual(sorted(objects.map(inItsWords)))
})
