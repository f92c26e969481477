/** One function per step kind and action; the plan's action table names them. */
import { ACTIONS } from '../action-table.ts'
import { approvePlan } from '../approvals.ts'
import { administrator } from '../acting.ts'
import type { Ceremony } from '../context.ts'
import type { DoStep, Step } from '../plan.ts'
import { generateKey, lockKey } from './key-birth.ts'
import { zeroiseKey } from './key-end.ts'
import { unwrapKey, wrapKey } from './key-transport.ts'
import { check, record } from './observe.ts'
import { initialiseToken, login, logout, resplit } from './tokens.ts'

function deed(ceremony: Ceremony, step: DoStep): Promise<void> {
  switch (step.action) {
    case 'token.initialise':
      return initialiseToken(ceremony, step)
    case 'quorum.login':
      return login(ceremony, step)
    case 'quorum.logout':
      return logout(ceremony, step)
    case 'quorum.resplit':
      return resplit(ceremony, step)
    case 'key.generate':
      return generateKey(ceremony, step)
    case 'key.lock':
      return lockKey(ceremony, step)
    case 'key.wrap':
      return wrapKey(ceremony, step)
    case 'key.unwrap':
      return unwrapKey(ceremony, step)
    case 'key.zeroise':
      return zeroiseKey(ceremony, step)
  }
}

/** Carries out one step; `attest` happens after the transcript is closed. */
export async function performStep(ceremony: Ceremony, step: Step): Promise<void> {
  const { journal, room } = ceremony
  switch (step.kind) {
    case 'say': {
      room.show([step.text])
      const who = await administrator(ceremony, step.id)
      await room.confirm(who, 'Done?', 'done')
      await journal.append(
        'statement',
        step.id,
        { actor: who.id, question: step.text, value: 'done' },
        ['human-asserted'],
      )
      return
    }
    case 'check': {
      const data = await check(ceremony, step)
      const { evidence } = ACTIONS.check[step.action]
      await journal.append('check', step.id, { name: step.action, data }, evidence)
      return
    }
    case 'approve':
      await approvePlan(ceremony, step)
      return
    case 'do':
      await deed(ceremony, step)
      return
    case 'record': {
      const data = await record(ceremony, step)
      const { evidence } = ACTIONS.record[step.action]
      await journal.append('record', step.id, { name: step.action, data }, evidence)
      return
    }
    case 'attest':
      return
  }
}
