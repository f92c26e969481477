/**
 * What a ceremony refuses, each with its own error code, and on record when it happens inside one. The
 * state after `generate-kek` is set back before each case, so that every case starts from real tokens.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import {
  type Binding,
  type CeremonyOutcome,
  type Entry,
  type Rehearsed,
  type Room,
  loadBinding,
  loadPlan,
  rehearse,
  run,
  verify,
} from '../../src/ceremony/index.ts'
import type { KeyriteError } from '../../src/errors.ts'
import { type Hsm, loadModule } from '../../src/pkcs11/index.ts'
import { type SshSigner, keyFileSigner } from '../../src/quorum/index.ts'
import { scratch, softHsm } from '../tokens.ts'
import { clock, random } from './ports.ts'
import { copyTree, shipped } from './stage.ts'

const softhsm = softHsm()
const workDir = scratch('refusals')
const saved = scratch('refusals-saved')
const people = join(workDir, 'people')
const tokens = join(softhsm.dir, 'tokens')
let hsm: Hsm
let before: Rehearsed
let bindingText: string
let cases = 0

/** The site's binding for `generate-fpe-key`, changed by the case. */
function bindingFile(change: (binding: Binding) => object = (binding) => binding): string {
  const file = join(workDir, `case-${cases}.binding.yaml`)
  writeFileSync(file, stringify(change(parse(bindingText) as Binding)))
  return file
}

interface Attempt {
  readonly plan?: string
  readonly planText?: (text: string) => string
  readonly binding?: (binding: Binding) => object
  readonly room?: Partial<Room>
  readonly dir?: string
}

const nothing = (): void => undefined

/** Runs `generate-fpe-key` with a room that plays its part unless the case says otherwise. */
async function attempt(options: Attempt = {}): Promise<CeremonyOutcome> {
  cases += 1
  const planFile = shipped(options.plan ?? 'generate-fpe-key')
  const text = readFileSync(planFile, 'utf8')
  const file = bindingFile(options.binding)
  const binding = loadBinding(readFileSync(file, 'utf8'), file)
  return run({
    plan: loadPlan(options.planText?.(text) ?? text, planFile),
    binding,
    dir: options.dir ?? join(workDir, `case-${cases}`),
    hsm,
    clock,
    random,
    room: {
      signal: new AbortController().signal,
      show: nothing,
      stepStarted: nothing,
      stepFinished: nothing,
      progress: nothing,
      choose: (_role, need, candidates) => Promise.resolve(candidates.slice(0, need)),
      confirm: () => Promise.resolve(),
      reading: () => Promise.resolve('on the wall'),
      passphrase: () => Promise.reject(new Error('this cast has no passphrases')),
      signer: (who) => Promise.resolve(signerOf(who.id)),
      ...options.room,
    },
  })
}

const signerOf = (id: string): SshSigner =>
  keyFileSigner({
    principal: `${id}@rehearsal.invalid`,
    keyFile: join(people, id, 'id_ed25519'),
  })

function entriesOf(dir: string): Entry[] {
  const text = readFileSync(join(dir, 'log', 'seg', '000000000000.jsonl'), 'utf8')
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Entry)
}

/** The ceremony ended in a truthful abort with this code, and the refusal is on record. */
async function expectAbort(outcome: CeremonyOutcome, code: string): Promise<Entry[]> {
  expect(outcome).toMatchObject({ outcome: 'aborted', error: { code } })
  const entries = entriesOf(outcome.dir)
  expect(entries.filter(({ type }) => type === 'refused')).toContainEqual(
    expect.objectContaining({ error: expect.objectContaining({ code }) as object }),
  )
  const verification = await verify(outcome.dir, { mode: 'rehearsal' })
  expect(verification.findings.filter(({ status }) => status === 'failed')).toEqual([])
  expect(verification.outcome).toBe('aborted')
  return entries
}

/** Thrown before anything was written. */
async function expectRefusal(promise: Promise<unknown>, code: string): Promise<KeyriteError> {
  const dir = join(workDir, `case-${cases + 1}`)
  const error = (await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  )) as KeyriteError
  expect(error).toMatchObject({ code })
  expect(existsSync(dir)).toBe(false)
  return error
}

beforeAll(async () => {
  hsm = await loadModule(softhsm.module)
  const done = await rehearse({
    plans: [shipped('generate-kek'), shipped('generate-fpe-key')],
    workDir,
    hsm,
    clock,
    random,
    filesOnly: true,
    room: {
      watch: {
        stepStarted: ({ number }) => {
          // The state before the last plan is the one that stays saved.
          if (number !== 1) return
          copyTree(tokens, join(saved, 'tokens'))
          copyTree(people, join(saved, 'people'))
        },
      },
    },
  })
  const last = done.at(-1)
  if (last?.outcome.outcome !== 'complete') throw new Error(JSON.stringify(last?.outcome.error))
  before = last
  bindingText = readFileSync(before.bindingFile, 'utf8')
  await hsm[Symbol.asyncDispose]()
}, 120_000)

beforeEach(async () => {
  copyTree(join(saved, 'tokens'), tokens)
  copyTree(join(saved, 'people'), people)
  hsm = await loadModule(softhsm.module)
  return async () => hsm[Symbol.asyncDispose]()
})

afterAll(() => {
  for (const dir of [workDir, saved]) rmSync(dir, { recursive: true, force: true })
  softhsm.cleanup()
})

it('the undisturbed case completes; CER-NEGATIVE-1: one custodian alone was refused twice', async () => {
  const outcome = await attempt()
  expect(outcome).toMatchObject({ outcome: 'complete' })
  expect(entriesOf(outcome.dir)).toContainEqual(
    expect.objectContaining({
      type: 'check',
      name: 'quorum.negative',
      data: {
        token: 'vault',
        custodian: 'alice',
        index: 1,
        refusals: [
          { by: 'keyrite', error: 'QUORUM_NOT_MET', have: 1, need: 2 },
          { by: 'token', error: 'CKR_PIN_INCORRECT' },
        ],
      },
    }),
  )
})

describe('refused inside the ceremony, on record, truthfully aborted', () => {
  it('one custodian alone', async () => {
    const outcome = await attempt({
      room: {
        choose: (role, need, candidates) =>
          Promise.resolve(candidates.slice(0, role === 'custodian' ? 1 : need)),
      },
    })
    await expectAbort(outcome, 'QUORUM_NOT_MET')
  })

  it('one person twice', async () => {
    const outcome = await attempt({
      room: {
        choose: (role, need, candidates) =>
          Promise.resolve(
            role === 'custodian' ? [candidates[0]!, candidates[0]!] : candidates.slice(0, need),
          ),
      },
    })
    await expectAbort(outcome, 'SAME_PERSON_TWICE')
  })

  it('the same share twice, brought by two people', async () => {
    const [alice, bob] = ['alice', 'bob'].map((id) => join(people, id))
    const share = execFileSync('ls', [join(alice!, 'medium')], { encoding: 'utf8' })
      .split('\n')
      .find((name) => name.startsWith('vault.user'))!
    const theirs = execFileSync('ls', [join(bob!, 'medium')], { encoding: 'utf8' })
      .split('\n')
      .find((name) => name.startsWith('vault.user'))!
    writeFileSync(join(bob!, 'medium', theirs), readFileSync(join(alice!, 'medium', share)))
    writeFileSync(join(bob!, 'age-identity.txt'), readFileSync(join(alice!, 'age-identity.txt')))
    const outcome = await attempt()
    await expectAbort(outcome, 'SAME_SHARE_TWICE')
  })

  it('an approval replayed from another step', async () => {
    const seen: string[] = []
    const real = signerOf('bob')
    const outcome = await attempt({
      room: {
        signer: ({ id }) =>
          Promise.resolve(
            id !== 'bob'
              ? signerOf(id)
              : {
                  principal: real.principal,
                  sign: async (namespace, message) => {
                    if (namespace === 'keyrite-approval' && seen[0] !== undefined) return seen[0]
                    const signature = await real.sign(namespace, message)
                    seen.push(signature)
                    return signature
                  },
                },
          ),
      },
    })
    await expectAbort(outcome, 'APPROVAL_REPLAYED')
  })

  it('an approval replayed from another ceremony', async () => {
    const old = entriesOf(before.outcome.dir.replace('generate-fpe-key', 'generate-kek')).find(
      (entry) => entry.type === 'approval' && entry.intent.signer.startsWith('bob@'),
    )
    if (old?.type !== 'approval') throw new Error('bob approved nothing before')
    const outcome = await attempt({
      room: {
        signer: ({ id }) =>
          Promise.resolve(
            id === 'bob'
              ? { principal: signerOf(id).principal, sign: () => Promise.resolve(old.signature) }
              : signerOf(id),
          ),
      },
    })
    await expectAbort(outcome, 'APPROVAL_REPLAYED')
  })

  it('a signature over something else', async () => {
    const real = signerOf('bob')
    const outcome = await attempt({
      room: {
        signer: ({ id }) =>
          Promise.resolve(
            id === 'bob'
              ? {
                  principal: real.principal,
                  sign: (namespace) => real.sign(namespace, new Uint8Array([1, 2, 3])),
                }
              : signerOf(id),
          ),
      },
    })
    await expectAbort(outcome, 'SIGNING_FAILED')
  })

  it.each(['plan.json', 'binding.json'] as const)('%s edited after approval', async (file) => {
    const dir = join(workDir, `edited-${file}`)
    const outcome = await attempt({
      dir,
      room: {
        stepFinished: ({ kind }) => {
          if (kind !== 'approve') return
          const path = join(dir, file)
          writeFileSync(path, readFileSync(path, 'utf8').replace('custodian', 'custodiam'))
        },
      },
    })
    expect(outcome).toMatchObject({
      outcome: 'aborted',
      error: { code: file === 'plan.json' ? 'PLAN_CHANGED' : 'BINDING_CHANGED' },
    })
    const verification = await verify(dir, { mode: 'rehearsal' })
    expect(verification.ok).toBe(false)
  })

  it('Ctrl-C: aborted by a person, signed', async () => {
    const stop = new AbortController()
    const outcome = await attempt({
      room: {
        signal: stop.signal,
        stepStarted: ({ title }) => {
          if (title.includes('Generate')) stop.abort()
        },
      },
    })
    expect(outcome).toMatchObject({ outcome: 'aborted', error: { code: 'ABORTED' } })
    expect(entriesOf(outcome.dir).at(-1)).toMatchObject({
      type: 'ceremony.close',
      outcome: 'aborted',
    })
    const verification = await verify(outcome.dir, { mode: 'rehearsal' })
    expect(verification).toMatchObject({ ok: true, outcome: 'aborted' })
    expect(verification.signedBy).toContain('ada')
  })

  it('Ctrl-C between two steps', async () => {
    const stop = new AbortController()
    const outcome = await attempt({
      room: {
        signal: stop.signal,
        stepFinished: ({ number }) => {
          if (number === 3) stop.abort()
        },
      },
    })
    expect(outcome).toMatchObject({ outcome: 'aborted', error: { code: 'ABORTED' } })
    const verification = await verify(outcome.dir, { mode: 'rehearsal' })
    expect(verification.errors).toEqual([])
    expect(verification).toMatchObject({ ok: true, outcome: 'aborted' })
  })

  it('a share medium that is not there: nothing is written in its place', async () => {
    const medium = join(workDir, 'unplugged', 'shares')
    const outcome = await attempt({
      binding: (binding) => {
        const { carol, ...others } = binding.people
        const shares = { ...carol?.shares, directory: medium }
        return { ...binding, people: { ...others, carol: { ...carol, shares } } }
      },
    })
    expect(outcome).toMatchObject({ outcome: 'aborted', error: { code: 'CONFIG', where: medium } })
    expect(existsSync(join(workDir, 'unplugged'))).toBe(false)
    const verification = await verify(outcome.dir, { mode: 'rehearsal' })
    expect(verification.errors).toEqual([])
  })

  it('a token that vanishes in mid-step', async () => {
    let gone = false
    const outcome = await attempt({
      room: {
        confirm: (_who, question) => {
          if (question.includes('Generate') && !gone) {
            gone = true
            rmSync(tokens, { recursive: true, force: true })
            mkdirSync(tokens)
          }
          return Promise.resolve()
        },
      },
    })
    expect(gone).toBe(true)
    expect(outcome.outcome).toBe('aborted')
    const verification = await verify(outcome.dir, { mode: 'rehearsal' })
    expect(verification.findings.filter(({ status }) => status === 'failed')).toEqual([])
  })

  it('a disk that fills up', async ({ skip }) => {
    if (process.getuid?.() !== 0) skip('needs root to mount a small tmpfs')
    const small = join(workDir, 'small')
    mkdirSync(small)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', small])
    try {
      const outcome = await attempt({
        dir: join(small, 'bundle'),
        room: {
          stepStarted: ({ title }) => {
            if (!title.includes('Generate')) return
            try {
              writeFileSync(join(small, 'filler'), new Uint8Array(8 * 1024 * 1024).fill(1))
            } catch {
              // Full now, as wanted.
            }
          },
        },
      })
      expect(outcome).toMatchObject({ outcome: 'aborted', error: { code: 'STORAGE' } })
      const verification = await verify(outcome.dir, { mode: 'rehearsal' })
      expect(verification.findings.filter(({ status }) => status === 'failed')).toEqual([])
    } finally {
      execFileSync('umount', [small])
    }
  })
})

describe('refused before anything is written', () => {
  it('a plan that fails lint', async () => {
    await expectRefusal(
      attempt({ planText: (text) => text.replace('quorum: 2, of: 3', 'quorum: 1, of: 3') }),
      'LINT_FAILED',
    )
  })

  it('a bundle directory that exists', async () => {
    const dir = join(workDir, 'exists')
    mkdirSync(dir)
    await expectRefusal(attempt({ dir }), 'OUTPUT_EXISTS')
  })

  it('an administrator who is also custodian', async () => {
    const error = await expectRefusal(
      attempt({
        binding: (binding) => ({
          ...binding,
          people: {
            ...binding.people,
            alice: { ...binding.people['alice'], roles: ['administrator', 'custodian'] },
          },
        }),
      }),
      'ROLE_CONFLICT',
    )
    expect(error).toMatchObject({ requirement: 'CER-ROLES-1' })
  })

  it('SO and user shares held by one person', async () => {
    const error = await expectRefusal(
      attempt({
        binding: (binding) => ({
          ...binding,
          people: {
            ...binding.people,
            alice: { ...binding.people['alice'], roles: ['custodian', 'security-officer'] },
          },
        }),
      }),
      'ROLE_CONFLICT',
    )
    expect(error).toMatchObject({ requirement: 'CER-ROLES-2' })
  })

  it('CER-MODULE-1: a module file whose hash differs from the binding', async () => {
    await expectRefusal(
      attempt({
        binding: (binding) => ({
          ...binding,
          module: { ...binding.module, sha256: '0'.repeat(64) },
        }),
      }),
      'BINDING_MISMATCH',
    )
  })

  it('CER-TOKEN-1: a token whose serial differs from the binding', async () => {
    await expectRefusal(
      attempt({
        binding: (binding) => ({
          ...binding,
          tokens: { ...binding.tokens, vault: { label: 'vault', serial: 'ffffffffffffffff' } },
        }),
      }),
      'BINDING_MISMATCH',
    )
  })

  it('a previous transcript with another root', async () => {
    await expectRefusal(
      attempt({
        binding: (binding) => ({
          ...binding,
          previous: { ...binding.previous, root: `sha256:${'0'.repeat(64)}` },
        }),
      }),
      'BINDING_MISMATCH',
    )
  })
})

it('a rehearsal is refused as production', async () => {
  const verification = await verify(before.outcome.dir)
  expect(verification.ok).toBe(false)
  expect(verification.errors.map(({ code }) => code)).toContain('REHEARSAL_AS_PRODUCTION')
})
