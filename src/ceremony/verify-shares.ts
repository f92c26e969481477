/** Checks of the split PINs: who opened shares, who signed for new ones, and that no PIN outlived its use. */
import type { EntryOf } from './entries.ts'
import {
  type Answer,
  type Transcript,
  count,
  entriesOf,
  notApplicable,
  refute,
} from './verify-context.ts'
import { resultsByIntent } from './verify-steps.ts'

type Commitments = EntryOf<'shares.committed'>['commitments']

/** A login by the quorum, from its `record`. */
interface Login {
  readonly seq: number
  /** The plan's name of the token. */
  readonly token: string
  readonly epoch: number
}

function logins(transcript: Transcript): Login[] {
  return entriesOf(transcript, 'record')
    .filter(({ name }) => name === 'quorum.login')
    .map(({ seq, data }) => {
      const { token, epoch } = (data ?? {}) as Partial<Record<string, unknown>>
      if (typeof token !== 'string' || typeof epoch !== 'number') {
        return refute('a login does not say on which token and with which epoch', { entry: seq })
      }
      return { seq, token, epoch }
    })
}

/** The split that was in force for a PIN, known before entry `seq`. */
function splitOf(
  transcript: Transcript,
  token: string,
  pin: 'user' | 'so',
  epoch: number,
  seq: number,
): Commitments | undefined {
  const { open, binding } = transcript
  const label = open.ledger.tokens[token]?.label ?? binding.tokens[token]?.label
  const before = open.ledger.tokens[token]
  const inherited = [before?.[pin], pin === 'user' ? before?.pending : undefined]
  const issued = entriesOf(transcript, 'shares.committed')
    .filter((entry) => entry.seq < seq)
    .map(({ commitments }) => commitments)
    .findLast((split) => split.tokenLabel === label && split.pin === pin && split.epoch === epoch)
  return issued ?? inherited.find((split) => split?.epoch === epoch)
}

/** CER-SHARES-1. */
export function checkShares(transcript: Transcript): Answer {
  const all = logins(transcript)
  for (const { seq, token, epoch } of all) {
    const split = splitOf(transcript, token, 'user', epoch, seq)
    if (split === undefined) {
      return refute(`token ${token} was opened with a split nobody knows`, { entry: seq })
    }
    const since = all.findLast((other) => other.token === token && other.seq < seq)?.seq ?? -1
    const opened = entriesOf(transcript, 'share.opened').filter(
      (share) =>
        share.seq > since &&
        share.seq < seq &&
        share.token === split.tokenLabel &&
        share.pin === 'user' &&
        share.epoch === epoch,
    )
    const stranger = opened.find(
      ({ holder, index }) =>
        !split.shares.some((share) => share.holder === holder && share.index === index),
    )
    if (stranger !== undefined) {
      refute(`${stranger.holder} opened a share that was not issued to them`, {
        entry: stranger.seq,
      })
    }
    const holders = new Set(opened.map(({ holder }) => holder))
    if (holders.size < split.threshold) {
      refute(`token ${token} was opened with too few shares`, {
        entry: seq,
        expected: `${split.threshold} custodians`,
        got: [...holders].join(', ') || 'nobody',
      })
    }
  }
  return all.length === 0
    ? notApplicable('no token was opened with shares')
    : `${count(all.length, 'login')}, each by a quorum of share holders`
}

/** Number of the done result of a PIN change. */
function changedAt(transcript: Transcript, token: string, after: number): number | undefined {
  const results = resultsByIntent(transcript)
  for (const { seq, op, args } of entriesOf(transcript, 'intent')) {
    const fields = (args ?? {}) as Partial<Record<string, unknown>>
    const result = results.get(seq)
    const settled = result?.outcome === 'done' || result?.outcome === 'adopted'
    if (op === 'C_SetPIN' && fields['token'] === token && settled && result.seq > after) {
      const epoch = Number(fields['epoch'])
      if (splitOf(transcript, token, 'user', epoch, seq) === undefined) {
        refute(`the PIN of ${token} was changed before anybody held shares of the new one`, {
          entry: seq,
        })
      }
      return result.seq
    }
  }
  return undefined
}

/** CER-RESPLIT-1: after its last use under an old epoch, the PIN was changed and the new one split. */
export function checkResplit(transcript: Transcript): Answer {
  const { ledger, outcome } = transcript
  const first = new Map<string, Login>()
  for (const login of logins(transcript)) {
    if (!first.has(login.token)) first.set(login.token, login)
  }
  const kept: string[] = []
  for (const [token, login] of first) {
    const at = changedAt(transcript, token, login.seq)
    if (at === undefined) {
      if (outcome !== 'aborted') {
        refute(`the PIN of ${token} was whole in this host and is still in force`, {
          entry: login.seq,
          expected: 'C_SetPIN and new shares before the end',
        })
      }
      kept.push(token)
      continue
    }
    const known = ledger.tokens[token]?.user
    if (known === undefined || known.epoch <= login.epoch) {
      refute(`the state at the end does not know the new split of ${token}`, {
        expected: `an epoch after ${login.epoch}`,
        got: known === undefined ? 'none' : String(known.epoch),
      })
    }
  }
  if (first.size === 0) return notApplicable('no PIN was put together')
  return {
    detail: `${count(first.size - kept.length, 'PIN')} changed and split again`,
    warnings: kept.map(
      (token) =>
        `The ceremony was aborted before the PIN of ${token} was changed: whoever copied it from this host can use it until then.`,
    ),
  }
}
