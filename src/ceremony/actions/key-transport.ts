/** `key.wrap`, `key.unwrap` and the restore test. */
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'

import { sha256, toHex, utf8 } from '../../bytes.ts'
import { ConfigError, PolicyError, TokenError } from '../../errors.ts'
import {
  type WrappingKeks,
  parseWrappedKey,
  unwrapKeyBlob,
  wrapKeyText,
} from '../../lifecycle/index.ts'
import type { KeySpec } from '../../pkcs11/index.ts'
import type { JsonObject } from '../../types.ts'
import { stepApprover } from '../approvals.ts'
import { readArtefact, writeArtefact } from '../bundle.ts'
import type { Ceremony } from '../context.ts'
import { openToken } from '../login.ts'
import type { ActionStep } from '../plan.ts'
import { objectId } from '../step-args.ts'
import {
  type Born,
  describe,
  inspectObject,
  knownKcv,
  ledgerKey,
  plannedKey,
  refuseTaken,
  remember,
} from './key-state.ts'

async function keks(
  ceremony: Ceremony,
  { id, with: { kek, outer } }: { id: string; with: { kek: string; outer?: string } },
): Promise<WrappingKeks> {
  return {
    inner: await ledgerKey(ceremony, kek, id),
    ...(outer === undefined ? {} : { outer: await ledgerKey(ceremony, outer, id) }),
  }
}

/** Text of a wrapped key: an output of this ceremony, or an input the binding names. */
export async function wrappedSource(ceremony: Ceremony, from: string): Promise<string> {
  const output = ceremony.plan.outputs[from]
  if (output !== undefined) return readArtefact(ceremony.paths, output.file)
  const input = ceremony.binding.inputs?.[from]
  if (input === undefined) {
    throw new PolicyError('STATE_MISMATCH', 'CER-PLAN-1', `no file is bound to ${from}`, {
      expected: `an output of the plan, or binding: inputs.${from}`,
    })
  }
  return readFile(input, 'utf8').catch((cause: unknown) => {
    throw new ConfigError(`the wrapped key ${from} cannot be read`, {
      where: `binding: inputs.${from}`,
      got: basename(input),
      cause,
    })
  })
}

/** Wraps into an artefact of the bundle. */
export async function wrapKey(
  ceremony: Ceremony,
  step: ActionStep<'do', 'key.wrap'>,
): Promise<void> {
  const { key: name, output, kek, outer } = step.with
  const layer = outer === undefined ? {} : { outer }
  const file = ceremony.plan.outputs[output]?.file ?? output
  const { key } = await ledgerKey(ceremony, name, step.id)
  const pair = await keks(ceremony, step)
  const written = async (): Promise<{ sha256: string }> => {
    const text = await readArtefact(ceremony.paths, file)
    parseWrappedKey(text, file)
    return { sha256: toHex(sha256(utf8(text))) }
  }
  const digest = await ceremony.wal.mutate<{ sha256: string }>(
    {
      step: step.id,
      op: 'key.wrap',
      args: { key: name, kek, ...layer, output, file },
      ckaId: key.id,
      evidence: ['crypto-verified', 'module-reported'],
      call: async () => {
        const { role } = plannedKey(ceremony, name)
        const { planSha256 } = ceremony.identity
        const text = await wrapKeyText(key, role, pair, planSha256)
        await writeArtefact(ceremony.paths, file, utf8(text))
        return written()
      },
      // Artefacts appear whole or not at all.
      inspect: async () => {
        try {
          return { state: 'done', data: await written() }
        } catch (error) {
          if (error instanceof ConfigError) return { state: 'not-done' }
          throw error
        }
      },
    },
    stepApprover(ceremony, step),
  )
  if (!ceremony.ledger.copies.some((copy) => copy.sha256 === digest.sha256)) {
    ceremony.ledger.copies.push({ key: name, output: file, sha256: digest.sha256, kek, ...layer })
  }
}

/** Opens the file into a locked key on the inner KEK's token. */
export async function unwrapKey(
  ceremony: Ceremony,
  step: ActionStep<'do', 'key.unwrap'>,
): Promise<void> {
  const { key: name, from, kek, outer } = step.with
  const { role, token: tokenName } = plannedKey(ceremony, name)
  const { token } = await openToken(ceremony, tokenName, step.id)
  await refuseTaken(ceremony, token, name, step.id)
  const pair = await keks(ceremony, step)
  const blob = parseWrappedKey(await wrappedSource(ceremony, from), from)
  const id = objectId(ceremony.identity.id, step.id)
  const spec: KeySpec = { role, label: name, id }
  const born = await ceremony.wal.mutate<Born>(
    {
      step: step.id,
      op: 'C_UnwrapKey',
      args: {
        token: tokenName,
        label: name,
        role,
        from,
        kek,
        ...(outer === undefined ? {} : { outer }),
        kcv: blob.bound.key.kcv.value,
      },
      ckaId: toHex(id),
      evidence: ['crypto-verified', 'module-reported'],
      call: async () => describe(await unwrapKeyBlob(blob, pair, spec)),
      inspect: () => inspectObject(token, spec),
    },
    stepApprover(ceremony, step),
  )
  remember(ceremony, name, id, born, 'present')
}

/** Unwraps a copy into a session object, compares the KCV, destroys it. */
export async function restoreTest(
  ceremony: Ceremony,
  step: ActionStep<'check', 'key.restore'>,
): Promise<JsonObject> {
  const { key: name, from } = step.with
  const pair = await keks(ceremony, step)
  const blob = parseWrappedKey(await wrappedSource(ceremony, from), from)
  const restored = await unwrapKeyBlob(blob, pair, {
    role: plannedKey(ceremony, name).role,
    label: `${name} restore test`,
    id: await ceremony.random.bytes(16),
    onToken: false,
  })
  const { method, value } = await restored.kcv()
  await pair.inner.token.discard(restored)
  const want = knownKcv(ceremony, name)
  if (method !== want.method || value !== want.value) {
    throw new TokenError('KEY_CHANGED', 'the wrapped copy does not restore the key', {
      where: from,
      expected: want.value,
      got: value,
    })
  }
  return { key: name, from, restored: { method, value } }
}
