/**
 * The entries of a ceremony transcript: what each log line may say, and nothing else. No field can carry
 * a PIN, a share, a passphrase or key bytes; the schemas are strict, so an unknown field is an error.
 * The audit log adds `v`, `seq`, `time` and `prev` to every line.
 */
import * as z from 'zod'

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))
const sha256 = hex(32)
const role = z.enum(['administrator', 'custodian', 'security-officer', 'witness'])
const json: z.ZodType = z.json()

/** See `EvidenceClass` in layer 0. */
const evidenceClass = z.enum([
  'hsm-enforced',
  'crypto-verified',
  'module-reported',
  'software-enforced',
  'human-asserted',
])

/** Fields every entry carries. `step` is empty outside steps. */
const base = z.strictObject({
  v: z.literal(1),
  seq: z.int().nonnegative(),
  time: z.string(),
  prev: sha256,
  ceremony: sha256,
  mode: z.enum(['production', 'rehearsal']),
  step: z.string(),
  /** Milliseconds on the monotonic clock since this process opened the log. */
  monoMs: z.int().nonnegative(),
  evidence: z.array(evidenceClass).min(1),
})

const error = z.strictObject({
  name: z.string(),
  code: z.string(),
  message: z.string(),
  where: z.string().optional(),
  expected: z.string().optional(),
  got: z.string().optional(),
  hint: z.string().optional(),
})

const kcv = z.strictObject({
  method: z.enum(['cmac', 'kwp-probe', 'gcm-probe', 'spki-sha256']),
  value: z.string(),
})

const commitments = z.strictObject({
  tokenLabel: z.string(),
  tokenSerial: z.string(),
  pin: z.enum(['user', 'so']),
  epoch: z.int().positive(),
  threshold: z.int().min(2),
  of: z.int().min(2),
  shares: z.array(
    z.strictObject({ index: z.int().positive(), holder: z.string(), commitment: sha256 }),
  ),
})

/** What is known to exist when a ceremony ends; the next ceremony starts from it. */
const ledgerSchema = z.strictObject({
  tokens: z.record(
    z.string(),
    z.strictObject({
      label: z.string(),
      serial: z.string(),
      user: commitments.optional(),
      so: commitments.optional(),
      /** A PIN change was cut short: the token opens with `user` or with this split. */
      pending: commitments.optional(),
    }),
  ),
  keys: z.record(
    z.string(),
    z.strictObject({
      token: z.string(),
      role: z.string(),
      label: z.string(),
      /** CKA_ID. */
      id: hex(16),
      kcv,
      state: z.enum(['birth', 'present', 'destroyed']),
      /** SubjectPublicKeyInfo, base64 DER, of key pairs. */
      publicKey: z.string().optional(),
    }),
  ),
  /** Every wrapped copy ever made and not known to be useless. */
  copies: z.array(
    z.strictObject({
      key: z.string(),
      output: z.string(),
      sha256,
      kek: z.string(),
      /** Left out: wrapped once. */
      outer: z.string().optional(),
    }),
  ),
  /** Verifier key (C2SP vkey) of the log-signer, by token. */
  logKeys: z.record(z.string(), z.string()),
})

const intent = z.strictObject({
  v: z.literal(1),
  type: z.literal('keyrite-intent'),
  ceremony: sha256,
  mode: z.enum(['production', 'rehearsal']),
  planSha256: sha256,
  bindingSha256: sha256,
  step: z.string(),
  action: z.string(),
  argsSha256: sha256,
  logOrigin: z.string(),
  logSize: z.int().nonnegative(),
  logRoot: sha256,
  expires: z.string(),
  signer: z.string(),
  nonce: hex(16),
})

// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- keeps the literal for the union
const entry = <Type extends string, Shape extends z.ZodRawShape>(type: Type, shape: Shape) =>
  base.extend({ type: z.literal(type), ...shape })

/** One schema per entry type. */
export const entrySchema = z.discriminatedUnion('type', [
  /** First entry of every transcript. */
  entry('ceremony.open', {
    planSha256: sha256,
    bindingSha256: sha256,
    policySha256: sha256,
    rosterSha256: sha256,
    previous: z.union([z.literal('genesis'), sha256]),
    software: z.strictObject({ keyrite: z.string(), node: z.string() }),
    module: z.strictObject({
      path: z.string(),
      sha256,
      cryptokiVersion: z.string(),
      manufacturerId: z.string(),
      libraryDescription: z.string(),
      libraryVersion: z.string(),
    }),
    people: z.array(
      z.strictObject({
        id: z.string(),
        name: z.string(),
        principal: z.string(),
        roles: z.array(role),
      }),
    ),
    ledger: ledgerSchema,
  }),
  /** A later process took the transcript up again. */
  entry('ceremony.resume', {
    software: z.strictObject({ keyrite: z.string(), node: z.string() }),
    moduleSha256: sha256,
    /** seq of intents without a result. */
    openIntents: z.array(z.int().nonnegative()),
  }),
  /** The PKCS#11 error or other refusal that a negative control, or a mistake, met. */
  entry('refused', { action: z.string(), actors: z.array(z.string()), error }),
  entry('people.chosen', { role, acting: z.array(z.string()) }),
  entry('step.begin', { kind: z.string(), title: z.string() }),
  entry('step.end', { outcome: z.literal('done') }),
  /** Something a person said, read or did. */
  entry('statement', { actor: z.string(), question: z.string(), value: z.string() }),
  entry('check', { name: z.string(), data: json }),
  entry('record', { name: z.string(), data: json }),
  entry('approval', { role, intent, signature: z.string() }),
  /** `fileSha256`: the share file the holder signed for, so that a verifier can compute the signed digest. */
  entry('receipt', { intent, signature: z.string(), fileSha256: sha256 }),
  entry('shares.committed', { commitments }),
  entry('share.opened', {
    token: z.string(),
    pin: z.enum(['user', 'so']),
    epoch: z.int().positive(),
    holder: z.string(),
    index: z.int().positive(),
  }),
  /** Write-ahead: durable before the HSM is called. */
  entry('intent', {
    op: z.string(),
    args: json,
    argsSha256: sha256,
    /** CKA_ID the call will create or destroy. */
    ckaId: hex(16).optional(),
    /** SHA-256 of the approved intents this call rests on. */
    approvals: z.array(sha256),
    approvedBy: z.array(z.string()),
  }),
  /** What came of the intent with number `intent`. */
  entry('result', {
    intent: z.int().nonnegative(),
    op: z.string(),
    /**
     * `done`: returned normally. `adopted`: found done after a crash, checked, approved.
     * `not-done`: found not done after a crash; a new intent follows. `destroyed`: partial object removed.
     */
    outcome: z.enum(['done', 'adopted', 'not-done', 'destroyed']),
    data: json,
  }),
  entry('ledger', { ledger: ledgerSchema }),
  entry('ceremony.abort', {
    atStep: z.string(),
    error,
    openIntents: z.array(z.int().nonnegative()),
    /** What stays behind, in words. */
    residuals: z.array(z.string()),
  }),
  entry('ceremony.close', {
    outcome: z.enum(['complete', 'aborted']),
    /** The dual-control level reached, printed on page one. */
    dualControl: z.strictObject({
      level: z.string(),
      evidence: evidenceClass,
      atRest: z.string(),
      session: z.string(),
    }),
  }),
  /** Written by the audit log itself when it set a torn tail aside; carries no ceremony fields. */
  z.strictObject({
    v: z.literal(1),
    seq: z.int().nonnegative(),
    time: z.string(),
    prev: sha256,
    type: z.literal('log.recovered'),
    quarantined: z.string(),
    bytes: z.int().nonnegative(),
  }),
])

/** A parsed transcript entry. */
export type Entry = z.infer<typeof entrySchema>

/** State carried from one ceremony to the next. */
export type Ledger = z.infer<typeof ledgerSchema>

/** Entry types by name. */
export type EntryOf<Type extends Entry['type']> = Extract<Entry, { type: Type }>
