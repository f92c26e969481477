/** `key.generate` and `key.lock`. */
import { toHex } from '../../bytes.ts'
import type { KeySpec } from '../../pkcs11/index.ts'
import type { Approval } from '../../types.ts'
import { stepApprover } from '../approvals.ts'
import type { Ceremony } from '../context.ts'
import { openToken } from '../login.ts'
import type { ActionStep } from '../plan.ts'
import { objectId } from '../step-args.ts'
import {
  type Born,
  describe,
  destroyById,
  findById,
  inspectObject,
  knownKey,
  ledgerKey,
  plannedKey,
  refuseTaken,
  remember,
} from './key-state.ts'

/** C_GenerateKey or C_GenerateKeyPair under the role's template. */
export async function generateKey(
  ceremony: Ceremony,
  step: ActionStep<'do', 'key.generate'>,
): Promise<void> {
  const name = step.with.key
  const { token: tokenName, role, algorithm, distribute } = plannedKey(ceremony, name)
  const { token } = await openToken(ceremony, tokenName, step.id)
  await refuseTaken(ceremony, token, name, step.id)
  const id = objectId(ceremony.identity.id, step.id)
  const form = distribute === undefined ? 'locked' : 'birth'
  const spec: KeySpec = { role, label: name, id, form }
  const born = await ceremony.wal.mutate<Born>(
    {
      step: step.id,
      op: role === 'log-signer' ? 'C_GenerateKeyPair' : 'C_GenerateKey',
      args: { token: tokenName, label: name, role, form, algorithm },
      ckaId: toHex(id),
      evidence: ['module-reported'],
      call: async () => describe(await token.generate(spec)),
      inspect: () => inspectObject(token, spec),
    },
    stepApprover(ceremony, step),
  )
  remember(ceremony, name, id, born, form === 'birth' ? 'birth' : 'present')
}

/** Copies the extractable birth form into the locked form and destroys the birth form. */
export async function lockKey(
  ceremony: Ceremony,
  step: ActionStep<'do', 'key.lock'>,
): Promise<void> {
  const name = step.with.key
  const { role, token: tokenName } = plannedKey(ceremony, name)
  const birth = knownKey(ceremony, name)
  const { token } = await openToken(ceremony, tokenName, step.id)
  const id = objectId(ceremony.identity.id, step.id)
  const spec: KeySpec = { role, label: name, id }
  const born = await ceremony.wal.mutate<Born>(
    {
      step: step.id,
      op: 'C_CopyObject',
      args: { token: tokenName, label: name, from: birth.id, role, form: 'locked' },
      ckaId: toHex(id),
      evidence: ['module-reported', 'crypto-verified'],
      call: async () => {
        const { key } = await ledgerKey(ceremony, name, step.id)
        return describe(await token.lock(key, spec))
      },
      inspect: async () => {
        const found = await inspectObject(token, spec)
        const left = await findById(token, birth.id, 'secret-key')
        if (found.state !== 'done' || left === undefined) return found
        // The copy is there but the extractable form was not destroyed: start the step over.
        const remove = (approval: Approval): Promise<void> =>
          destroyById(token, toHex(id), approval)
        return { state: 'partial', remove }
      },
    },
    stepApprover(ceremony, step),
  )
  remember(ceremony, name, id, born, 'present')
}
