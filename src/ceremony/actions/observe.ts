/** Checks and records: what the token, the module file and people say, written down. Nothing changes. */
import { readFile } from 'node:fs/promises'

import { fromHex, sha256, toHex, utf8 } from '../../bytes.ts'
import { PolicyError } from '../../errors.ts'
import { probeEnforcement } from '../../pkcs11/index.ts'
import { toPgpWords } from '../../pgp-words.ts'
import { natoReadOut } from '../../nato.ts'
import type { JsonObject } from '../../types.ts'
import { administrator } from '../acting.ts'
import { readArtefact } from '../bundle.ts'
import { type Ceremony, tokenUri } from '../context.ts'
import { refuseLeakyToken } from '../enforcement-gate.ts'
import type { CheckStep, RecordStep } from '../plan.ts'
import { checkInventory, recordInventory } from './inventory.ts'
import { ledgerKey } from './key-state.ts'
import { restoreTest } from './key-transport.ts'
import { loneCustodian } from './tokens.ts'

async function clock(ceremony: Ceremony, step: CheckStep): Promise<JsonObject> {
  const who = await administrator(ceremony, step.id)
  const question = 'Time on the wall clock, with time zone'
  const value = await ceremony.room.reading(who, question)
  await ceremony.journal.append('statement', step.id, { actor: who.id, question, value }, [
    'human-asserted',
  ])
  return { wallClock: value, hostClock: new Date(ceremony.clock.wallMs()).toISOString() }
}

async function moduleIdentity({ binding, hsm }: Ceremony, step: CheckStep): Promise<JsonObject> {
  // Read again from the disk: the file may have been replaced since it was loaded.
  const now = toHex(sha256(new Uint8Array(await readFile(hsm.info.path))))
  if (now !== binding.module.sha256) {
    throw new PolicyError(
      'BINDING_MISMATCH',
      'CER-MODULE-1',
      'the PKCS#11 module is another file',
      {
        where: `step ${step.id}: ${hsm.info.path}`,
        expected: binding.module.sha256,
        got: now,
      },
    )
  }
  return { path: hsm.info.path, sha256: now, library: hsm.info.libraryDescription }
}

async function tokenIdentity(ceremony: Ceremony, name: string, step: string): Promise<JsonObject> {
  const bound = ceremony.binding.tokens[name]
  const label = ceremony.ledger.tokens[name]?.label ?? bound?.label ?? name
  const token = (await ceremony.hsm.tokens()).find((present) => present.label === label)
  const serial = ceremony.ledger.tokens[name]?.serial ?? bound?.serial
  if (serial === 'blank' && token === undefined) return { token: name, label, state: 'blank' }
  if (token === undefined || (serial !== 'blank' && token.serial !== serial)) {
    throw new PolicyError('BINDING_MISMATCH', 'CER-TOKEN-1', `token ${name} is not the bound one`, {
      where: `step ${step}`,
      expected: `label ${label}, serial ${serial ?? 'unknown'}`,
      got: token === undefined ? 'no such token' : `serial ${token.serial}`,
    })
  }
  const { manufacturerId, model, firmwareVersion, hardwareVersion, flags } = token
  const { serial: found } = token
  return {
    token: name,
    label,
    serial: found,
    manufacturerId,
    model,
    firmwareVersion,
    hardwareVersion,
    flags,
  }
}

async function enforcement(ceremony: Ceremony, name: string, step: string): Promise<JsonObject> {
  const held = ceremony.open.get(name)
  await using visit =
    held === undefined ? await ceremony.hsm.open(tokenUri(ceremony, name)) : undefined
  const probed = held?.token ?? visit
  if (probed === undefined) throw new RangeError('a token is either open or visited')
  const table = await probeEnforcement(probed)
  refuseLeakyToken(table, `step ${step}, token ${name}`)
  return { token: name, table: table.map((row) => ({ ...row })) }
}

/** Performs a check; throws when it does not hold. Returns what is written down. */
export function check(ceremony: Ceremony, step: CheckStep): Promise<JsonObject> {
  switch (step.action) {
    case 'clock':
      return clock(ceremony, step)
    case 'module.identity':
      return moduleIdentity(ceremony, step)
    case 'token.identity':
      return tokenIdentity(ceremony, step.with.token, step.id)
    case 'token.enforcement':
      return enforcement(ceremony, step.with.token, step.id)
    case 'token.inventory':
      return checkInventory(ceremony, step.with.token, step.id)
    case 'quorum.negative':
      return loneCustodian(ceremony, step)
    case 'key.restore':
      return restoreTest(ceremony, step)
  }
}

/** Reads a value, shows it to the room, returns what is written down. */
export async function record(ceremony: Ceremony, step: RecordStep): Promise<JsonObject> {
  switch (step.action) {
    case 'key.kcv': {
      const { key } = await ledgerKey(ceremony, step.with.key, step.id)
      const { method, value } = await key.kcv()
      show(ceremony, step, `KCV of ${step.with.key} (${method})`, value)
      return { key: step.with.key, method, value }
    }
    case 'key.attributes': {
      const { key } = await ledgerKey(ceremony, step.with.key, step.id)
      const attributes = await key.attributes()
      const told = (name: string): string => `${name}=${String(attributes[name] ?? 'not told')}`
      ceremony.room.show([`${step.with.key}: ${told('SENSITIVE')}, ${told('EXTRACTABLE')}`])
      return { key: step.with.key, uri: key.uri, attributes }
    }
    case 'token.inventory': {
      const data = await recordInventory(ceremony, step.with.token, step.id)
      show(ceremony, step, `inventory of ${step.with.token}`, data.root)
      return data
    }
    case 'output.digest': {
      const file = ceremony.plan.outputs[step.with.output]?.file ?? step.with.output
      const digest = toHex(sha256(utf8(await readArtefact(ceremony.paths, file))))
      show(ceremony, step, `SHA-256 of ${file}`, digest)
      return { output: step.with.output, file, sha256: digest }
    }
  }
}

function show(ceremony: Ceremony, step: RecordStep, what: string, hex: string): void {
  const spoken =
    step.readAloud === 'pgp-words'
      ? [toPgpWords(fromHex(hex)).join(' ')]
      : step.readAloud === 'nato'
        ? natoReadOut(hex)
        : []
  ceremony.room.show([`${what}: ${hex}`, ...spoken])
}
