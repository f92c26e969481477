/** `key.zeroise`: destruction, then every attempt to show that it did not happen. */
import { wipe } from '../../bytes.ts'
import { TokenError } from '../../errors.ts'
import {
  type Attempt,
  type Falsification,
  type KekOnToken,
  ZEROISE_RESIDUALS,
  falsifyZeroise,
  parseWrappedKey,
  plantCanary,
  unwrapKeyBlob,
} from '../../lifecycle/index.ts'
import type { KeyRole } from '../../pkcs11/index.ts'
import { pinDigits } from '../../quorum/index.ts'
import { sha256, toHex, utf8 } from '../../bytes.ts'
import { stepApprover } from '../approvals.ts'
import { type Ceremony, tokenUri } from '../context.ts'
import type { Ledger } from '../entries.ts'
import { openToken } from '../login.ts'
import type { ActionStep } from '../plan.ts'
import { destroyById, findById, knownKey, ledgerKey } from './key-state.ts'
import { wrappedSource } from './key-transport.ts'

const DEAD_HANDLE: Falsification = {
  attempt: 'the old handle, from a fresh session',
  outcome: 'refused',
  evidence: 'hsm-enforced',
}

type Copy = Ledger['copies'][number]

/** Text of every wrapped copy that lies before us, by digest: outputs of this plan and bound inputs. */
async function presentedCopies(ceremony: Ceremony): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const names = [...Object.keys(ceremony.plan.outputs), ...Object.keys(ceremony.plan.inputs)]
  for (const name of names) {
    const text = await wrappedSource(ceremony, name).catch(() => undefined)
    if (text !== undefined) found.set(toHex(sha256(utf8(text))), text)
  }
  return found
}

async function kekOf(ceremony: Ceremony, name: string, step: string): Promise<KekOnToken> {
  const entry = ceremony.ledger.keys[name]
  if (entry === undefined) throw new TokenError('KEY_NOT_FOUND', `key ${name} is unknown`)
  const { token } = await openToken(ceremony, entry.token, step)
  const key = await findById(token, entry.id, 'secret-key')
  if (key === undefined) throw new TokenError('KEY_NOT_FOUND', `key ${name} is gone`)
  return { token, key }
}

/** Unwrapping a copy once `gone`, a KEK it needs, is destroyed. */
function unwrapAttempt(
  ceremony: Ceremony,
  copy: Copy,
  gone: string,
  text: string,
  step: string,
): Attempt {
  const blob = parseWrappedKey(text, copy.output)
  return {
    attempt: `unwrap ${copy.output}, a copy of ${copy.key}`,
    use: async () => {
      // Looked for first: its token is open, the one of the other KEK need not be.
      await kekOf(ceremony, gone, step)
      const { kek, outer } = copy
      const keks = {
        inner: await kekOf(ceremony, kek, step),
        ...(outer === undefined ? {} : { outer: await kekOf(ceremony, outer, step) }),
      }
      return unwrapKeyBlob(blob, keks, {
        role: blob.bound.key.role as KeyRole,
        label: `${copy.key} zeroise probe`,
        id: await ceremony.random.bytes(16),
        onToken: false,
      })
    },
  }
}

/** A copy opens nothing any more once one of its KEKs is destroyed. */
const isDead = ({ ledger }: Ceremony, copy: Copy): boolean =>
  [copy.kek, copy.outer].some((kek) => kek !== undefined && ledger.keys[kek]?.state === 'destroyed')

/** Destroys the key under approval, then tries to find and use it; records what stays recoverable. */
export async function zeroiseKey(
  ceremony: Ceremony,
  step: ActionStep<'do', 'key.zeroise'>,
): Promise<void> {
  const name = step.with.key
  const entry = knownKey(ceremony, name)
  const { token } = await openToken(ceremony, entry.token, step.id)
  const attempts: Attempt[] = []
  if (ceremony.journal.of('intent', step.id).length === 0) {
    const { key } = await ledgerKey(ceremony, name, step.id)
    attempts.push(await plantCanary(token, key, entry.role as KeyRole))
  }
  const presented = await presentedCopies(ceremony)
  const dependent = ceremony.ledger.copies.filter(
    ({ kek, outer }) => kek === name || outer === name,
  )
  for (const copy of dependent) {
    const text = presented.get(copy.sha256)
    if (text !== undefined) attempts.push(unwrapAttempt(ceremony, copy, name, text, step.id))
  }
  const destroyedHere: Falsification[] = []
  await ceremony.wal.mutate(
    {
      step: step.id,
      op: 'C_DestroyObject',
      args: { token: entry.token, label: entry.label, kcv: entry.kcv.value },
      ckaId: entry.id,
      evidence: ['module-reported'],
      call: async (approval) => {
        // Returns only once the token has refused the old handles in a session that never saw them.
        await destroyById(token, entry.id, approval)
        destroyedHere.push(DEAD_HANDLE)
        return null
      },
      inspect: async () => {
        const left = (await token.inventory()).some((object) => object.id === entry.id)
        return left ? { state: 'not-done' } : { state: 'done', data: null }
      },
    },
    stepApprover(ceremony, step),
  )
  ceremony.ledger.keys[name] = { ...entry, state: 'destroyed' }
  // Opened again here: the ladder or a resume may have replaced the secret.
  const pin = pinDigits((await openToken(ceremony, entry.token, step.id)).secret)
  try {
    const found = await falsifyZeroise(
      {
        modulePath: ceremony.hsm.info.path,
        tokenUri: tokenUri(ceremony, entry.token),
        id: entry.id,
        label: entry.label,
      },
      pin,
      attempts,
    )
    const falsification: Falsification[] = [...destroyedHere, ...found]
    const alive = ceremony.ledger.copies.filter(
      (copy) => copy.key === name && !isDead(ceremony, copy),
    )
    await ceremony.journal.append(
      'check',
      step.id,
      {
        name: 'key.zeroise',
        data: {
          key: name,
          falsification: falsification.map((item) => ({ ...item })),
          recoverableCopies: alive.map((copy) => ({ ...copy })),
          untestedCopies: dependent
            .filter((copy) => !presented.has(copy.sha256))
            .map((copy) => ({ ...copy })),
          residuals: [...ZEROISE_RESIDUALS],
        },
      },
      [...new Set(falsification.map(({ evidence }) => evidence))],
    )
  } finally {
    wipe(pin)
  }
}
