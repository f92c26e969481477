/**
 * The life of embedding seeds on SoftHSM2: made, wrapped once or twice, opened with the quorum's PINs as a
 * service does, and ended with their KEK. No seed in clear is in anything that a ceremony leaves behind.
 */
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { toBase64, toHex } from '../../src/bytes.ts'
import { type Rehearsed, lint, rehearse, verify } from '../../src/ceremony/index.ts'
import { openSeed } from '../../src/lifecycle/index.ts'
import { type Token, loadModule } from '../../src/pkcs11/index.ts'
import { scratch, softHsm } from '../tokens.ts'
import { entriesOf, ledgerOf, userPin } from './cast-pin.ts'
import { FOLDER, edit, planText } from './plan-files.ts'
import { clock, random } from './ports.ts'
import { copyTree } from './stage.ts'

const softhsm = softHsm()
const workDir = scratch('embedding-key')
const plans = join(workDir, 'plans')
const TOKEN = '    with: { token: vault }\n'

/** The shipped plan with the next epoch, under the KEKs of two tokens. */
function nestedPlan(): string {
  const custody = (step: string): string => `  - ${step}\n    with: { token: custody }\n`
  const edits: readonly (readonly [string, string, boolean?])[] = [
    ['ceremony: generate-embedding-key', 'ceremony: generate-embedding-key-2'],
    ['embeddings-epoch-1', 'embeddings-epoch-2', true],
    ['generate-kek.yaml]', 'generate-kek.yaml, generate-embedding-key.yaml]'],
    ['distribute: single', 'distribute: nested'],
    ['tokens: [vault]', 'tokens: [vault, custody]\nlog: vault'],
    ['kek: kek', 'kek: kek, outer: kek-outer', true],
    [
      '  kek: {',
      '  kek-outer: { token: custody, role: kek-outer, algorithm: AES-256, existing: true }\n  kek: {',
    ],
    [
      '  - check: token.identity\n',
      `  - check: token.identity\n${TOKEN}${custody('check: token.identity')}`,
    ],
    ['  - check: quorum.negative\n', `  - check: quorum.negative\n${TOKEN}`],
    [
      '  - do: quorum.login\n',
      `  - do: quorum.login\n${TOKEN}${custody('check: quorum.negative')}${custody('do: quorum.login')}`,
    ],
    ['  - check: token.enforcement\n', `  - check: token.enforcement\n${TOKEN}`],
    ['token.inventory\n', `token.inventory\n${TOKEN}`, true],
    [
      '  - do: quorum.resplit\n',
      `${custody('do: quorum.resplit')}${custody('do: quorum.logout')}  - do: quorum.resplit\n${TOKEN}`,
    ],
  ]
  return edits.reduce(
    (text, [from, to, all]) => edit(text, from, to, all),
    planText('generate-embedding-key'),
  )
}

/** The end of every seed under kek; the file of the first is brought along. */
const ZEROISE = `
ceremony: zeroise-kek
title: Zeroise kek, and with it every embedding seed
previous: required
after: [generate-embedding-key-2.yaml]
roles: { administrator: 1, custodian: { quorum: 2, of: 3 }, witness: 1 }
tokens: [vault]
keys:
  log-signer: { token: vault, role: log-signer, algorithm: Ed25519, existing: true }
  kek: { token: vault, role: kek, algorithm: AES-256, existing: true, end: absent, copies: [] }
  embeddings-epoch-1:
    token: vault
    role: embedding-seed
    algorithm: AES-256
    existing: true
    end: absent
    copies: [wrapped-embeddings-epoch-1]
inputs:
  wrapped-embeddings-epoch-1: { from: previous }
steps:
  - check: clock
  - check: module.identity
  - check: token.identity
  - approve: { by: custodian, what: plan }
  - check: quorum.negative
  - do: quorum.login
  - check: key.restore
    with: { key: embeddings-epoch-1, from: wrapped-embeddings-epoch-1, kek: kek }
  - record: key.kcv
    with: { key: kek }
  - record: token.inventory
  - id: zeroise-kek
    do: key.zeroise
    with: { key: kek }
  - record: token.inventory
  - do: quorum.resplit
  - attest: { by: [custodian, witness], what: transcript }
`

const ONE = 'generate-embedding-key'
const TWO = 'generate-embedding-key-2'
const END = 'zeroise-kek'
const rehearsed = new Map<string, Rehearsed>()
const dirOf = (name: string): string => rehearsed.get(name)?.outcome.dir ?? ''
const seedFile = (name: string, epoch: number): string =>
  readFileSync(join(dirOf(name), 'artefacts/wrapped', `embeddings-epoch-${epoch}.json`), 'utf8')
/** Cast and tokens before the last ceremony, when a service opens its seeds. */
const before = join(workDir, 'before')

beforeAll(async () => {
  mkdirSync(plans)
  for (const name of readdirSync(FOLDER)) cpSync(join(FOLDER, name), join(plans, name))
  writeFileSync(join(plans, `${TWO}.yaml`), nestedPlan())
  writeFileSync(join(plans, `${END}.yaml`), ZEROISE)
  await using hsm = await loadModule(softhsm.module)
  let failed = ''
  let begun = 0
  const done = await rehearse({
    ...{ workDir, hsm, clock, random, filesOnly: true, plans: [join(plans, `${END}.yaml`)] },
    room: {
      watch: {
        stepStarted: ({ number }) => {
          begun += number === 1 ? 1 : 0
          if (number !== 1 || begun !== 5) return
          softhsm.snapshot()
          copyTree(join(workDir, 'people'), join(before, 'people'))
        },
        stepFinished: ({ id }, outcome) => {
          if (outcome === 'failed') failed = id
        },
      },
    },
  })
  for (const item of done) rehearsed.set(item.plan.plan.ceremony, item)
  const errors = done.map(({ outcome }) => outcome.error?.toJSON())
  expect(errors, failed).toEqual([undefined, undefined, undefined, undefined, undefined])
}, 120_000)

afterAll(() => {
  rmSync(workDir, { recursive: true, force: true })
  softhsm.cleanup()
})

it('the plans of the test lint clean', () => {
  for (const { plan } of rehearsed.values()) {
    expect([plan.plan.ceremony, lint(plan.plan, plan.source)]).toEqual([plan.plan.ceremony, []])
  }
})

it.each([
  [ONE, 'generate-kek'],
  [TWO, ONE],
  [END, TWO],
])('%s verifies, as the continuation of %s', async (name, previous) => {
  const found = await verify(dirOf(name), { mode: 'rehearsal', previous: dirOf(previous) })
  expect(found.errors).toEqual([])
  expect(found).toMatchObject({ ok: true, outcome: 'complete' })
})

it('the transcript says how many tokens open a file, and that nothing else is left of the key', async () => {
  const one = await verify(dirOf(ONE), { mode: 'rehearsal' })
  const copy = { key: 'embeddings-epoch-1', output: 'wrapped/embeddings-epoch-1.json', kek: 'kek' }
  expect(one.ledger.copies).toEqual([{ ...copy, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) }])
  expect(one.ledger.keys['embeddings-epoch-1']).toMatchObject({ state: 'destroyed' })
  const atRest = (name: string) =>
    entriesOf(dirOf(name)).flatMap((entry) =>
      entry.type === 'ceremony.close' ? [entry.dualControl.atRest] : [],
    )
  expect(atRest(ONE)).toEqual([
    'copies of embedding seeds need the KEK of one token, and so its split PIN; keys on a token need its split PIN',
  ])
  expect(atRest(TWO)).toEqual([
    'wrapped copies need the KEKs of two tokens; keys on a token need its split PIN',
  ])
  const two = await verify(dirOf(TWO), { mode: 'rehearsal' })
  expect(two.ledger.copies[1]).toMatchObject({ key: 'embeddings-epoch-2', outer: 'kek-outer' })
})

it('the end of the KEK is the end of the file: opening it fails in the token', () => {
  const zeroised = entriesOf(dirOf(END)).find(
    (entry) => entry.type === 'check' && entry.name === 'key.zeroise',
  )
  expect(zeroised).toMatchObject({
    data: {
      falsification: expect.arrayContaining([
        expect.objectContaining({
          attempt: 'unwrap wrapped/embeddings-epoch-1.json, a copy of embeddings-epoch-1',
          outcome: 'KEY_NOT_FOUND',
        }) as unknown,
      ]) as unknown,
      untestedCopies: [expect.objectContaining({ key: 'embeddings-epoch-2' }) as unknown],
    },
  })
})

describe('a service, before that', () => {
  const seeds: Uint8Array[] = []
  const objects: string[][] = []
  const kcvs: string[] = []

  beforeAll(async () => {
    softhsm.restore()
    await using hsm = await loadModule(softhsm.module)
    const ledger = ledgerOf(entriesOf(dirOf(TWO)))
    const login = async (token: string): Promise<Token> =>
      hsm.login(`pkcs11:token=${token}`, { pin: await userPin(before, ledger, token) })
    await using inner = await login('vault')
    await using outer = await login('custody')
    const look = async () => objects.push((await inner.inventory()).map(({ label }) => label))
    await look()
    for (const [file, epoch] of [
      [ONE, 1],
      [TWO, 2],
      [ONE, 1],
    ] as const) {
      const opened = await openSeed(seedFile(file, epoch), file, { inner, outer }, { epoch })
      seeds.push(opened.seed)
      kcvs.push(opened.kcv.value)
    }
    await look()
  })

  it('opens the seeds of both epochs, and always the same ones', () => {
    const [one = new Uint8Array(), two = new Uint8Array(), again] = seeds
    expect(one).toHaveLength(32)
    expect(again).toEqual(one)
    expect(toHex(two)).not.toBe(toHex(one))
  })

  it('finds the check values that were read aloud', () => {
    const recorded = [ONE, TWO].flatMap((name) =>
      entriesOf(dirOf(name)).flatMap((entry) =>
        entry.type === 'record' && entry.name === 'key.kcv'
          ? [(entry.data as { value: string }).value]
          : [],
      ),
    )
    expect(kcvs).toEqual([...recorded, recorded[0]])
  })

  it('leaves nothing on the token: there are the KEK and the log signer, as before', () => {
    expect(objects).toEqual([
      ['kek', 'log-signer', 'log-signer'],
      ['kek', 'log-signer', 'log-signer'],
    ])
  })

  it('no seed is in clear in anything that is left: bundles, shares, token files', () => {
    const files = [workDir, softhsm.dir].flatMap((dir) =>
      readdirSync(dir, { recursive: true, withFileTypes: true })
        .filter((item) => item.isFile())
        .map((item) => join(item.parentPath, item.name)),
    )
    expect(files.length).toBeGreaterThan(100)
    const forms = seeds.flatMap((seed) => [
      Buffer.from(seed),
      Buffer.from(seed.subarray(0, 16)),
      Buffer.from(seed.subarray(16)),
      Buffer.from(toHex(seed.subarray(0, 16))),
      Buffer.from(toBase64(seed).slice(0, 40)),
    ])
    const holding = files.filter((file) => {
      const content = readFileSync(file)
      return forms.some((form) => content.includes(form))
    })
    expect(holding).toEqual([])
    // The search would find it.
    writeFileSync(join(workDir, 'planted'), Buffer.from(seeds[0] ?? ''))
    expect(forms.some((form) => readFileSync(join(workDir, 'planted')).includes(form))).toBe(true)
  })
})
