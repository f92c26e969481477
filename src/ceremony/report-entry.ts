/** One sentence per transcript entry, for the timeline of the report. */
import type { EvidenceClass } from '../types.ts'
import type { Entry } from './entries.ts'

const list = (items: readonly string[]): string =>
  items.length === 0 ? 'nobody' : items.join(', ')

const short = (hex: string): string => (hex.length > 16 ? `${hex.slice(0, 16)}…` : hex)

/** Flat text of a small JSON value; long values are cut, the log holds them whole. */
function brief(value: unknown, limit = 220): string {
  const text = JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'string' && /^[0-9a-f]{24,}$/.test(item) ? short(item) : item,
  )
  const plain = text.replaceAll(/["{}]/g, '').replaceAll(/([,:])(?=\S)/g, '$1 ')
  return plain.length > limit ? `${plain.slice(0, limit)}…` : plain
}

const REFUSAL = (error: { code: string; message: string }): string =>
  `${error.message} (${error.code})`

/** What an entry says. Plain text: whoever prints it escapes it. */
export function sentence(entry: Entry): string {
  switch (entry.type) {
    case 'ceremony.open':
      return `Ceremony opened by keyrite ${entry.software.keyrite}; plan ${short(entry.planSha256)}, binding ${short(entry.bindingSha256)}`
    case 'ceremony.resume':
      return `Taken up again by a new process; calls without a result: ${entry.openIntents.join(', ') || 'none'}`
    case 'refused':
      return `Refused: ${entry.action} by ${list(entry.actors)}: ${REFUSAL(entry.error)}`
    case 'people.chosen':
      return `Acting as ${entry.role}: ${list(entry.acting)}`
    case 'step.begin':
      return entry.title
    case 'step.end':
      return 'Step done'
    case 'statement':
      return `${entry.actor}: ${entry.question} ${entry.value}`
    case 'check':
      return `Checked ${entry.name}: ${brief(entry.data)}`
    case 'record':
      return `Recorded ${entry.name}: ${brief(entry.data)}`
    case 'approval':
      return `${entry.intent.signer} approved ${entry.intent.action} as ${entry.role}, over log size ${entry.intent.logSize}, until ${entry.intent.expires}`
    case 'receipt':
      return `${entry.intent.signer} signed a receipt for a share`
    case 'shares.committed': {
      const { pin, tokenLabel, epoch, threshold, of } = entry.commitments
      return `${pin.toUpperCase()} PIN of ${tokenLabel} split ${threshold} of ${of}, epoch ${epoch}`
    }
    case 'share.opened':
      return `${entry.holder} opened share ${entry.index} of the ${entry.pin.toUpperCase()} PIN of ${entry.token}, epoch ${entry.epoch}`
    case 'intent':
      return `About to call ${entry.op}${entry.ckaId === undefined ? '' : ` on ${entry.ckaId}`}, approved by ${list(entry.approvedBy)}: ${brief(entry.args)}`
    case 'result':
      return `${entry.op} of entry ${entry.intent}: ${entry.outcome}${entry.data === null ? '' : `; ${brief(entry.data)}`}`
    case 'ledger':
      return `State recorded: ${Object.keys(entry.ledger.keys).length} keys, ${entry.ledger.copies.length} wrapped copies`
    case 'ceremony.abort':
      return `Aborted at step ${entry.atStep || 'none'}: ${REFUSAL(entry.error)}`
    case 'ceremony.close':
      return `Closed: ${entry.outcome}`
    case 'log.recovered':
      return `A torn last line of ${entry.bytes} bytes was set aside as ${entry.quarantined}`
  }
}

/** Evidence of an entry; the log's own entry is software's word. */
export const evidenceOf = (entry: Entry): readonly EvidenceClass[] =>
  entry.type === 'log.recovered' ? ['software-enforced'] : entry.evidence

/** Entries a reader's eye must not miss. */
export const isNotable = (entry: Entry): boolean =>
  entry.type === 'refused' ||
  entry.type === 'ceremony.abort' ||
  entry.type === 'ceremony.resume' ||
  entry.type === 'log.recovered' ||
  (entry.type === 'result' && entry.outcome !== 'done')
