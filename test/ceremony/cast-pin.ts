/** The user PIN of a rehearsed token, put together by custodians of the cast outside keyrite's engine. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import type { Entry, Ledger } from '../../src/ceremony/index.ts'
import { type Commitments, combineShares, openShare, pinDigits } from '../../src/quorum/index.ts'

/** Entries of a transcript. */
export const entriesOf = (bundle: string): Entry[] =>
  readFileSync(join(bundle, 'log', 'seg', '000000000000.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Entry)

/** What the transcript says exists at its end. */
export function ledgerOf(entries: readonly Entry[]): Ledger {
  const end = entries.findLast((entry) => entry.type === 'ledger')
  if (end?.type !== 'ledger') throw new Error('the transcript holds no ledger')
  return end.ledger
}

/** As the token takes it, from the shares of two custodians in a work directory rehearsed with `filesOnly`. */
export async function userPin(workDir: string, ledger: Ledger, token: string): Promise<Uint8Array> {
  const commitments = ledger.tokens[token]?.user as Commitments
  const shares = await Promise.all(
    ['bob', 'carol'].map(async (id) => {
      const home = join(workDir, 'people', id)
      const file = readdirSync(join(home, 'medium')).find((name) =>
        name.startsWith(`${token}.user-pin.epoch-${commitments.epoch}.`),
      )
      const identity = new Uint8Array(readFileSync(join(home, 'age-identity.txt')))
      return openShare(new Uint8Array(readFileSync(join(home, 'medium', file ?? ''))), { identity })
    }),
  )
  return pinDigits(await combineShares(shares, commitments))
}
