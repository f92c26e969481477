/**
 * Transcripts without a token: a complete, valid ceremony written entry by entry with software keys, and
 * the same with one thing wrong. A forger here holds every key, so only the meaning of the entries can
 * give a wrong one away.
 */
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { type Log, openLog } from '../../src/audit/index.ts'
import { sha256, toBase64, toHex, utf8 } from '../../src/bytes.ts'
import { canonicalDigest } from '../../src/canonical.ts'
import type { Binding } from '../../src/ceremony/binding.ts'
import { bundlePaths, createBundle, writeArtefact } from '../../src/ceremony/bundle.ts'
import { dualControlLevel } from '../../src/ceremony/dual-control.ts'
import type { Entry, EntryOf, Ledger } from '../../src/ceremony/entries.ts'
import { finishBundle } from '../../src/ceremony/finish.ts'
import { type DoStep, type Plan, type Step, loadPlan } from '../../src/ceremony/plan.ts'
import { DEFAULT_POLICY } from '../../src/ceremony/policy.ts'
import type { Role } from '../../src/ceremony/room.ts'
import { approvedAction, objectId, stepArgsSha256 } from '../../src/ceremony/step-args.ts'
import { actionSpec } from '../../src/ceremony/action-table.ts'
import { formatVerifierKey, noteVerifier } from '../../src/note.ts'
import type { Signer } from '../../src/ports.ts'
import {
  type Commitments,
  type Intent,
  type SshSigner,
  type SshsigNamespace,
  intentDigest,
  keyFileSigner,
  makeIntent,
  receiptArgsSha256,
  signIntent,
  splitSecret,
  sshPublicKey,
  tokenSigner,
} from '../../src/quorum/index.ts'
import type { EvidenceClass, Json, JsonObject } from '../../src/types.ts'
import { signerOf } from '../audit/software-keys.ts'

export const ORGANISATION = 'keyrite.example'

export const PLAN = `
ceremony: forged
title: A ceremony <script>alert(1)</script> & its transcript
previous: genesis
roles:
  administrator: 1
  custodian: { quorum: 2, of: 3 }
  security-officer: { quorum: 2, of: 3 }
  witness: 1
tokens: [vault, custody]
log: vault
keys:
  log-signer: { token: vault, role: log-signer, algorithm: Ed25519 }
  kek: { token: vault, role: kek, algorithm: AES-256 }
  outer: { token: custody, role: kek-outer, algorithm: AES-256 }
  fpe-pan: { token: vault, role: fpe, algorithm: AES-256, distribute: nested }
  old: { token: vault, role: fpe, algorithm: AES-256, end: absent }
outputs:
  fpe-copy: { file: fpe-pan.keyrite }
steps:
  - { id: roll-call, say: The administrator names everybody. }
  - { id: clock, check: clock }
  - { id: look, check: token.identity, with: { token: vault } }
  - { id: accept, approve: { by: custodian, what: plan } }
  - { id: init-vault, do: token.initialise, with: { token: vault } }
  - { id: init-custody, do: token.initialise, with: { token: custody } }
  - { id: alone, check: quorum.negative, with: { token: vault } }
  - { id: login-vault, do: quorum.login, with: { token: vault } }
  - { id: login-custody, do: quorum.login, with: { token: custody } }
  - { id: make-log, do: key.generate, with: { key: log-signer } }
  - { id: make-kek, do: key.generate, with: { key: kek } }
  - { id: make-outer, do: key.generate, with: { key: outer } }
  - { id: make-old, do: key.generate, with: { key: old } }
  - { id: make-fpe, do: key.generate, with: { key: fpe-pan } }
  - { id: wrap, do: key.wrap, with: { key: fpe-pan, kek: kek, outer: outer, output: fpe-copy } }
  - { id: lock, do: key.lock, with: { key: fpe-pan } }
  - { id: kcv, record: key.kcv, with: { key: fpe-pan }, read-aloud: nato }
  - { id: end-old, do: key.zeroise, with: { key: old } }
  - { id: split-custody, do: quorum.resplit, with: { token: custody } }
  - { id: split-vault, do: quorum.resplit, with: { token: vault } }
  - { id: sign, attest: { by: [custodian, witness], what: transcript } }
`

const CAST: readonly (readonly [id: string, roles: readonly Role[]])[] = [
  ['ada', ['administrator']],
  ['alice', ['custodian']],
  ['bob', ['custodian']],
  ['carol', ['custodian']],
  ['sam', ['security-officer']],
  ['sue', ['security-officer']],
  ['sol', ['security-officer']],
  ['wendy', ['witness']],
]

/** A line before it is written. */
export type Line = { type: string; step: string; evidence: EvidenceClass[] } & Record<string, Json>

/** People with keys and a log signer; made once, used by many transcripts. */
export interface Troupe {
  readonly signers: ReadonlyMap<string, SshSigner>
  readonly publicKeys: ReadonlyMap<string, string>
  readonly roster: string
}

export function softwareSigner(algorithm: 'ed25519' | 'ecdsa-p256-sha256' = 'ed25519'): Signer {
  const { publicKey, privateKey } =
    algorithm === 'ed25519'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return signerOf(privateKey, publicKey)
}

export const principal = (id: string): string => `${id}@${ORGANISATION}`

export const rosterLine = (id: string, key: string, options = ''): string => {
  const [type = '', blob = ''] = key.split(' ')
  return `${principal(id)} namespaces="keyrite-approval,keyrite-checkpoint"${options} ${type} ${blob}\n`
}

/**
 * Bob signs with a P-256 key, the others with Ed25519 keys. With a directory, Alice signs with ssh-keygen
 * and a key file in it; without, in this process, which is faster.
 */
export function makeTroupe(dir?: string): Troupe {
  if (dir !== undefined) mkdirSync(dir, { recursive: true })
  const signers = new Map<string, SshSigner>()
  const publicKeys = new Map<string, string>()
  for (const [id] of CAST) {
    if (id === 'alice' && dir !== undefined) {
      const keyFile = join(dir, id)
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', id, '-f', keyFile])
      signers.set(id, keyFileSigner({ principal: principal(id), keyFile }))
      publicKeys.set(id, readFileSync(`${keyFile}.pub`, 'utf8').trim())
    } else {
      const signer = softwareSigner(id === 'bob' ? 'ecdsa-p256-sha256' : 'ed25519')
      signers.set(id, tokenSigner(principal(id), signer))
      publicKeys.set(id, sshPublicKey(signer))
    }
  }
  const roster = CAST.map(([id]) => rosterLine(id, publicKeys.get(id) ?? '')).join('')
  return { signers, publicKeys, roster }
}

/** What is different in a forged transcript. */
export interface Forgery {
  readonly mode?: 'production' | 'rehearsal'
  readonly algorithm?: 'ed25519' | 'ecdsa-p256-sha256'
  readonly roster?: string
  /** Changes a line, leaves it out (`undefined`), or adds others. */
  readonly line?: ((line: Line) => Line | undefined | readonly Line[]) | undefined
  /** Changes what somebody is asked to sign; approvals and receipts. */
  readonly intent?: ((intent: Intent, about: { step: string; role: string }) => Intent) | undefined
  readonly binding?: (binding: Binding) => Binding
  /** Ends the ceremony in an abort before this step. */
  readonly abortAt?: string
  /** The token signs nothing at the end; with an earlier checkpoint after the step named, or none. */
  readonly tokenGone?: boolean
  readonly signAfter?: string
  /** Who signs the final checkpoint. */
  readonly sign?: readonly string[]
}

const errorOf = { name: 'PolicyError', code: 'ABORTED', message: 'somebody said stop' }

/** A bundle in `dir`, finished and signed. Returns the verifier key of its log. */
export async function forge(
  dir: string,
  troupe: Troupe,
  forgery: Forgery = {},
): Promise<{ vkey: string }> {
  const { mode = 'production' } = forgery
  const { plan } = loadPlan(PLAN, 'forged.yaml')
  const roster = forgery.roster ?? troupe.roster
  const binding = bindingOf(plan, mode, roster)
  const used = forgery.binding?.(binding) ?? binding
  const digest = (value: unknown): string => toHex(canonicalDigest(value as Json))
  const [planSha256, bindingSha256] = [digest(plan), digest(used)]
  const ceremony = digest({ planSha256, bindingSha256, mode, previous: 'genesis' })
  const kind = mode === 'rehearsal' ? 'rehearsal' : 'ceremony'
  const origin = `${ORGANISATION}/${kind}/forged/${ceremony.slice(0, 16)}`
  await createBundle({
    dir,
    plan: plan,
    binding: used,
    policy: DEFAULT_POLICY,
    roster,
  })
  const paths = bundlePaths(dir)
  let now = Date.UTC(2026, 10, 21, 9, 0, 0)
  const clock = { wallMs: () => now, monotonicMs: () => now }
  const log = await openLog({ dir: paths.log, origin, clock, mode: 'create' })
  const forger = new Forger({ plan, ceremony, mode, origin, planSha256, bindingSha256 }, log)
  forger.tick = () => (now += 1000)
  forger.now = () => now
  forger.troupe = troupe
  forger.forgery = forgery
  const logSigner = softwareSigner(forgery.algorithm)
  forger.logKey = logSigner.publicKey
  forger.writeCopy = (file, content) => writeArtefact(paths, file, content)
  const name = `${ORGANISATION}/log/serial-vault`
  const sign = (): Promise<string> => log.checkpoint([{ name, signer: logSigner }])

  await forger.say('ceremony.open', '', ['software-enforced'], {
    planSha256,
    bindingSha256,
    policySha256: digest(DEFAULT_POLICY),
    rosterSha256: toHex(sha256(utf8(roster))),
    previous: 'genesis',
    software: { keyrite: '0.1.0', node: '24.0.0' },
    module: {
      path: used.module.path,
      sha256: used.module.sha256,
      cryptokiVersion: '2.40',
      manufacturerId: 'SoftHSM',
      libraryDescription: 'Implementation of PKCS11',
      libraryVersion: '2.6',
    },
    people: CAST.map(([id, roles]) => ({
      id,
      name: title(id),
      principal: principal(id),
      roles: [...roles],
    })),
    ledger: { tokens: {}, keys: {}, copies: [], logKeys: {} },
  })
  for (const step of plan.steps) {
    if (step.id === forgery.abortAt) break
    if (step.kind !== 'attest') await forger.perform(step)
    if (step.id === forgery.signAfter) await sign()
  }
  if (forgery.abortAt !== undefined) {
    await forger.say('ceremony.abort', '', ['software-enforced'], {
      atStep: '',
      error: errorOf,
      openIntents: [],
      residuals: ['key fpe-pan is still extractable: lock or zeroise it'],
    })
  }
  await forger.choose('custodian', '')
  await forger.choose('witness', '')
  await forger.say('ceremony.close', '', ['software-enforced'], {
    outcome: forgery.abortAt === undefined ? 'complete' : 'aborted',
    dualControl: { ...dualControlLevel({ of: (type) => forger.of(type) }) },
  })
  if (forgery.tokenGone !== true) await sign()
  await log[Symbol.asyncDispose]()
  const vkey = formatVerifierKey(noteVerifier(name, logSigner.algorithm, logSigner.publicKey))
  const hasKey = forgery.tokenGone !== true || forgery.signAfter !== undefined
  await finishBundle({ dir, ...(hasKey ? { vkey } : {}) })
  await signAll(dir, troupe, forgery.sign ?? ['alice', 'bob', 'wendy'])
  return { vkey }
}

/** Signatures on the final checkpoint by people who do not look first, unlike `attest`. */
export async function signAll(
  dir: string,
  troupe: Troupe,
  people: readonly string[],
  namespace: SshsigNamespace = 'keyrite-checkpoint',
): Promise<void> {
  const message = new Uint8Array(readFileSync(join(dir, 'checkpoint.txt')))
  for (const person of people) {
    const signer = troupe.signers.get(person)
    if (signer === undefined) throw new RangeError(person)
    const signature = await signer.sign(namespace, message)
    writeFileSync(join(dir, 'signatures', `${person}.sshsig`), signature)
  }
  await finishBundle({ dir })
}

const title = (id: string): string => `${id.charAt(0).toUpperCase()}${id.slice(1)} Example`

function bindingOf(plan: Plan, mode: 'production' | 'rehearsal', roster: string): Binding {
  return {
    binding: 'forged-site',
    mode,
    organisation: ORGANISATION,
    module: { path: '/usr/lib/softhsm/libsofthsm2.so', sha256: 'ab'.repeat(32) },
    tokens: Object.fromEntries(plan.tokens.map((name) => [name, { label: name, serial: 'blank' }])),
    people: Object.fromEntries(
      CAST.map(([id, roles]) => [
        id,
        {
          name: title(id),
          principal: principal(id),
          roles: [...roles],
          signer: { file: `/${id}` },
        },
      ]),
    ),
    roster: { file: '/allowed_signers', sha256: toHex(sha256(utf8(roster))) },
    policy: { file: '/policy.yaml', sha256: 'cd'.repeat(32) },
  }
}

interface Identity {
  readonly plan: Plan
  readonly ceremony: string
  readonly mode: 'production' | 'rehearsal'
  readonly origin: string
  readonly planSha256: string
  readonly bindingSha256: string
}

/** Writes what the engine would write. */
class Forger {
  readonly identity: Identity
  readonly log: Log
  readonly ledger: Ledger = { tokens: {}, keys: {}, copies: [], logKeys: {} }
  readonly epochs = new Map<string, Commitments>()
  readonly chosen = new Set<Role>()
  tick = (): number => 0
  now = (): number => 0
  troupe!: Troupe
  forgery!: Forgery
  logKey!: Uint8Array
  writeCopy!: (file: string, content: Uint8Array) => Promise<void>

  constructor(identity: Identity, log: Log) {
    this.identity = identity
    this.log = log
  }

  /** Unchecked: a forged line need not be an entry. */
  of<Type extends Entry['type']>(type: Type): EntryOf<Type>[] {
    return this.log.entries().filter((entry) => entry.type === type) as unknown as EntryOf<Type>[]
  }

  async say(
    type: string,
    step: string,
    evidence: EvidenceClass[],
    fields: JsonObject,
  ): Promise<void> {
    const { ceremony, mode } = this.identity
    const line = { type, ceremony, mode, step, monoMs: this.now(), evidence, ...fields } as Line
    const out = this.forgery.line === undefined ? line : this.forgery.line(line)
    for (const one of out === undefined
      ? []
      : Array.isArray(out)
        ? (out as Line[])
        : [out as Line]) {
      await this.log.append(one)
      this.tick()
    }
  }

  async choose(role: Role, step: string): Promise<string[]> {
    const { roles } = this.identity.plan
    const need =
      role === 'custodian' || role === 'security-officer' ? (roles[role]?.quorum ?? 0) : 1
    const acting = CAST.filter(([, held]) => held.includes(role))
      .slice(0, need)
      .map(([id]) => id)
    if (!this.chosen.has(role)) {
      this.chosen.add(role)
      await this.say('people.chosen', step, ['human-asserted'], { role, acting })
    }
    return acting
  }

  topic(step: string, action: string, argsSha256: string) {
    const { ceremony, mode, planSha256, bindingSha256, origin } = this.identity
    return {
      ceremony,
      mode,
      planSha256,
      bindingSha256,
      step,
      action,
      argsSha256,
      logOrigin: origin,
      logSize: this.log.size,
      logRoot: toHex(this.log.root()),
    }
  }

  async sign(topic: ReturnType<Forger['topic']>, person: string, role: string) {
    const intent = makeIntent({
      ...topic,
      expires: new Date(this.now() + 60 * 60_000).toISOString(),
      signer: principal(person),
      nonce: randomBytes(16).toString('hex'),
    })
    const used = this.forgery.intent?.(intent, { step: topic.step, role }) ?? intent
    const id = used.signer.split('@')[0] ?? ''
    const signer = this.troupe.signers.get(id)
    if (signer === undefined) throw new RangeError(id)
    return signIntent(used, signer)
  }

  async approve(step: Step, roles: readonly Role[]): Promise<{ digests: string[]; by: string[] }> {
    const digests: string[] = []
    const by: string[] = []
    for (const role of roles) {
      const acting = await this.choose(role, step.id)
      const topic = this.topic(
        step.id,
        approvedAction(step),
        stepArgsSha256(this.identity.plan, step),
      )
      for (const person of acting) {
        const { intent, signature } = await this.sign(topic, person, role)
        await this.say('approval', step.id, ['crypto-verified'], { role, intent, signature })
        digests.push(intentDigest(intent))
        by.push(intent.signer)
      }
    }
    return { digests, by }
  }

  async call(
    step: DoStep,
    op: string,
    approvals: { digests: string[]; by: string[] },
    args: JsonObject,
    data: Json,
    ckaId?: string,
  ): Promise<void> {
    const at = this.log.size
    await this.say('intent', step.id, ['software-enforced'], {
      op,
      args,
      argsSha256: toHex(canonicalDigest(args)),
      ...(ckaId === undefined ? {} : { ckaId }),
      approvals: approvals.digests,
      approvedBy: approvals.by,
    })
    await this.say('result', step.id, ['module-reported'], {
      intent: at,
      op,
      outcome: 'done',
      data,
    })
  }

  async issue(step: string, token: string, serial: string, pin: 'user' | 'so', epoch: number) {
    const role: Role = pin === 'user' ? 'custodian' : 'security-officer'
    const holders = CAST.filter(([, held]) => held.includes(role)).map(([id]) => id)
    const { commitments } = await splitSecret(
      new Uint8Array(randomBytes(32)),
      { tokenLabel: token, tokenSerial: serial, pin, epoch, threshold: 2 },
      holders,
    )
    for (const { holder, index } of commitments.shares) {
      const fileSha256 = randomBytes(32).toString('hex')
      const args = receiptArgsSha256(commitments, index, fileSha256)
      const signed = await this.sign(this.topic(step, 'share.receipt', args), holder, 'receipt')
      await this.say('receipt', step, ['crypto-verified'], { ...signed, fileSha256 })
    }
    await this.say('shares.committed', step, ['crypto-verified'], {
      commitments: commitments as unknown as JsonObject,
    })
    this.epochs.set(`${token} ${pin}`, commitments)
    return commitments as NonNullable<Ledger['tokens'][string]['user']>
  }

  async login(step: string, token: string): Promise<void> {
    const commitments = this.epochs.get(`${token} user`)
    if (commitments === undefined) throw new RangeError(token)
    for (const holder of await this.choose('custodian', step)) {
      const index = commitments.shares.find((share) => share.holder === holder)?.index ?? 0
      const { epoch } = commitments
      await this.say('share.opened', step, ['crypto-verified'], {
        token,
        pin: 'user',
        epoch,
        holder,
        index,
      })
    }
    await this.say('record', step, ['hsm-enforced'], {
      name: 'quorum.login',
      data: { token, uri: `pkcs11:token=${token}`, epoch: commitments.epoch },
    })
  }

  async perform(step: Step): Promise<void> {
    await this.say('step.begin', step.id, ['software-enforced'], {
      kind: step.kind,
      title: step.title,
    })
    const before = JSON.stringify(this.ledger)
    if (step.kind === 'say') {
      const [actor = ''] = await this.choose('administrator', step.id)
      await this.say('statement', step.id, ['human-asserted'], {
        actor,
        question: step.text,
        value: 'done',
      })
    } else if (step.kind === 'check') {
      const data = {
        token: 'vault',
        manufacturer: 'SoftHSM project',
        model: 'SoftHSM v2',
        firmware: '2.6',
      }
      await this.say('check', step.id, ['module-reported'], { name: step.action, data })
    } else if (step.kind === 'record') {
      await this.say('record', step.id, ['crypto-verified'], {
        name: step.action,
        data: { kcv: 'aabb' },
      })
    } else if (step.kind === 'approve') {
      await this.approve(step, [step.by])
    } else if (step.kind === 'do') {
      await this.deed(step)
    }
    if (JSON.stringify(this.ledger) !== before) {
      await this.say('ledger', step.id, ['module-reported'], {
        ledger: structuredClone(this.ledger) as unknown as JsonObject,
      })
    }
    await this.say('step.end', step.id, ['software-enforced'], { outcome: 'done' })
  }

  async deed(step: DoStep): Promise<void> {
    const args: Readonly<Record<string, string | undefined>> = step.with
    const { token = '', key = '' } = args
    const approvers = actionSpec('do', step.action)?.approvers ?? []
    const id = toHex(objectId(this.identity.ceremony, step.id))
    const planned = this.identity.plan.keys[key]
    const { ledger } = this
    switch (step.action) {
      case 'quorum.login':
        await this.login(step.id, token)
        return
      case 'token.initialise': {
        const serial = `serial-${token}`
        const so = await this.issue(step.id, token, 'unassigned', 'so', 1)
        const approvals = await this.approve(step, approvers)
        await this.call(step, 'C_InitToken', approvals, { token, label: token }, { serial })
        const user = await this.issue(step.id, token, serial, 'user', 1)
        await this.call(step, 'C_InitPIN', approvals, { token, epoch: 1 }, null)
        ledger.tokens[token] = { label: token, serial, so, user }
        return
      }
      case 'quorum.resplit': {
        const entry = ledger.tokens[token]
        if (entry === undefined) throw new RangeError(token)
        const epoch = (entry.user?.epoch ?? 0) + 1
        const user = await this.issue(step.id, token, entry.serial, 'user', epoch)
        const approvals = await this.approve(step, approvers)
        await this.call(step, 'C_SetPIN', approvals, { token, epoch }, null)
        ledger.tokens[token] = { ...entry, user }
        return
      }
      case 'key.generate':
      case 'key.lock': {
        if (planned === undefined) throw new RangeError(key)
        const approvals = await this.approve(step, approvers)
        const isPair = planned.role === 'log-signer'
        const op =
          step.action === 'key.lock'
            ? 'C_CopyObject'
            : isPair
              ? 'C_GenerateKeyPair'
              : 'C_GenerateKey'
        const kcv = isPair
          ? ({ method: 'spki-sha256', value: toHex(sha256(this.logKey)).slice(0, 16) } as const)
          : ({
              method: 'cmac',
              value: ledger.keys[key]?.kcv.value ?? randomBytes(8).toString('hex'),
            } as const)
        await this.call(
          step,
          op,
          approvals,
          { token: planned.token, label: key },
          { kcv: { ...kcv } },
          id,
        )
        const isBirth = step.action === 'key.generate' && planned.distribute === 'nested'
        ledger.keys[key] = {
          token: planned.token,
          role: planned.role,
          label: key,
          id,
          kcv,
          state: isBirth ? 'birth' : 'present',
          ...(isPair ? { publicKey: toBase64(this.logKey) } : {}),
        }
        return
      }
      case 'key.wrap': {
        const { kek = '', outer = '', output = '' } = args
        const file = this.identity.plan.outputs[output]?.file ?? ''
        const approvals = await this.approve(step, approvers)
        const content = utf8('{"wrapped":"twice"}\n')
        await this.writeCopy(file, content)
        const digest = toHex(sha256(content))
        await this.call(
          step,
          'key.wrap',
          approvals,
          { key, file },
          { sha256: digest },
          ledger.keys[key]?.id,
        )
        ledger.copies.push({ key, output: file, sha256: digest, kek, outer })
        return
      }
      case 'key.zeroise': {
        const entry = ledger.keys[key]
        if (entry === undefined) throw new RangeError(key)
        const approvals = await this.approve(step, approvers)
        await this.call(step, 'C_DestroyObject', approvals, { label: key }, null, entry.id)
        await this.say('check', step.id, ['hsm-enforced'], {
          name: 'key.zeroise',
          data: { key, residuals: ['Snapshots of the token directory may still hold it.'] },
        })
        ledger.keys[key] = { ...entry, state: 'destroyed' }
        return
      }
      default:
        throw new RangeError(step.action)
    }
  }
}
