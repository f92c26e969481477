/** The inventory: complete, deterministic, without secrets, and the same as OpenSC's pkcs11-tool sees it. */
import { randomBytes } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { loadModule } from '../../src/pkcs11/index.ts'
import type { Hsm, KeySpec, Token } from '../../src/pkcs11/index.ts'
import { inItsWords, pkcs11Tool, sorted } from '../pkcs11-tool.ts'
import { softHsm } from '../tokens.ts'
import type { SoftHsm, TestToken } from '../tokens.ts'
import { attack, raw } from './raw.ts'

let softhsm: SoftHsm
let vault: TestToken
let second: TestToken
let hsm: Hsm
let token: Token

/** A plan's keys: ids are fixed by the plan, so two runs give the same ones. */
const PLAN: readonly KeySpec[] = [
  { role: 'log-signer', label: 'log', id: new Uint8Array(16).fill(4) },
  { role: 'kek-outer', label: 'outer', id: new Uint8Array(16).fill(3) },
  { role: 'kek', label: 'kek', id: new Uint8Array(16).fill(2) },
  { role: 'fpe', label: 'pän ✓', id: new Uint8Array(16).fill(1) },
]

beforeAll(async () => {
  softhsm = softHsm()
  ;({ vault, second } = softhsm.tokens('vault', 'second'))
  hsm = await loadModule(softhsm.module)
  token = await hsm.login(vault.uri, { pin: vault.userPin() })
  for (const spec of PLAN) await token.generate(spec)
  const birth: KeySpec = { role: 'fpe', label: 'sent', id: new Uint8Array(16).fill(5) }
  await token.lock(await token.generate({ ...birth, form: 'birth' }), birth)
})
afterAll(async () => {
  await hsm[Symbol.asyncDispose]()
  softhsm.cleanup()
})

describe('inventory', () => {
  test('is sorted by class, label and id', async () => {
    const list = await token.inventory()
    expect(list.map((entry) => `${entry.class} ${entry.label} ${entry.id.slice(0, 2)}`)).toEqual([
      'secret-key kek 02',
      'secret-key outer 03',
      'secret-key pän ✓ 01',
      'secret-key sent 05',
      'private-key log 04',
      'public-key log 04',
    ])
  })

  test('two runs of the same plan give the same inventory, in any order of creation', async () => {
    await using other = await hsm.login(second.uri, { pin: second.userPin() })
    const birth: KeySpec = { role: 'fpe', label: 'sent', id: new Uint8Array(16).fill(5) }
    await other.lock(await other.generate({ ...birth, form: 'birth' }), birth)
    for (const spec of [...PLAN].reverse()) await other.generate(spec)
    expect(await other.inventory()).toEqual(await token.inventory())
  })

  test('holds nothing that differs between keys of the same template', async () => {
    const names = new Set((await token.inventory()).flatMap((o) => Object.keys(o.attributes)))
    for (const secret of ['VALUE', 'CHECK_VALUE', 'EC_POINT', 'UNIQUE_ID', 'MODULUS']) {
      expect(names).not.toContain(secret)
    }
    expect(names).toContain('ALLOWED_MECHANISMS')
  })

  test('lists what others put there: data, certificates, half-known objects', async () => {
    const id = { hex: randomBytes(4).toString('hex') }
    expect(
      attack(vault, [
        { do: 'create', template: raw({ CLASS: 0, TOKEN: true, LABEL: 'note', VALUE: 'text' }) },
        {
          do: 'create',
          template: raw({
            ...{
              CLASS: 4,
              KEY_TYPE: 0x10,
              TOKEN: true,
              LABEL: 'mac',
              ID: id,
              VALUE: 'x'.repeat(32),
            },
          }),
        },
      ]),
    ).toEqual([0, 0])
    const list = await token.inventory()
    expect(list.at(-1)).toMatchObject({ class: 'data', label: 'note', id: '' })
    const mac = list.find(({ label }) => label === 'mac')
    expect(mac).toMatchObject({ class: 'secret-key', keyType: 'GENERIC_SECRET', id: id.hex })
    // A key that an application imported shows what it is: not local, never guaranteed.
    expect(mac?.attributes).toMatchObject({
      LOCAL: false,
      ALWAYS_SENSITIVE: false,
      NEVER_EXTRACTABLE: false,
      KEY_GEN_MECHANISM: 'unavailable',
      MODIFIABLE: true,
    })
    attack(vault, [
      { do: 'destroy', on: raw({ CLASS: 0, LABEL: 'note' }) },
      { do: 'destroy', on: raw({ CLASS: 4, LABEL: 'mac' }) },
    ])
  })
})

test('pkcs11-tool -O agrees: count, labels, ids, usage, access flags', async () => {
  const ours = (await token.inventory()).map(({ class: kind, label, id, attributes }) =>
    inItsWords({
      class: kind,
      label,
      id,
      flags: Object.keys(attributes).filter((name) => attributes[name] === true),
    }),
  )
  expect(sorted(pkcs11Tool(softhsm.module, 'vault', vault.userPin()))).toEqual(sorted(ours))
})
