/** A scorer whose answers are random bytes of a seed: faults and delays of it are set by the test. */
import { createHash } from 'node:crypto'

import { EmbeddingError } from '../../src/errors.ts'
import { endedError } from '../../src/he/deadline.ts'
import type {
  BlockScores,
  CollectionState,
  Scan,
  ScanRequest,
  Scorer,
  StoredRecord,
} from '../../src/he/types.ts'

/** Deterministic bytes. */
export const bytesOf = (seed: string, length: number): Uint8Array =>
  new Uint8Array(createHash('shake256', { outputLength: length }).update(seed).digest())

export const hexOf = (seed: string): string => Buffer.from(bytesOf(seed, 16)).toString('hex')

export function recordOf(
  seed: string,
  version: number,
  place?: StoredRecord['place'],
): StoredRecord {
  return {
    token: bytesOf(`${seed} token`, 16),
    epoch: 1 + (version % 2),
    session: version % 3 === 0 ? '' : hexOf(`${seed} session`),
    sealed: bytesOf(`${seed} sealed`, 100 + (version % 50)),
    filters: { colour: bytesOf(`${seed} colour`, 16), size: bytesOf(`${seed} size`, 16) },
    version,
    place,
  }
}

export const STATE: CollectionState = {
  info: {
    name: 'docs',
    id: hexOf('docs'),
    parameterSet: 'bgv-n2048-q51-t16-b8',
    dimensions: 384,
    metric: 'cosine',
    maxNorm: 1,
    fields: ['colour', 'size'],
  },
  epochs: [{ epoch: 1, check: hexOf('check') }],
  sessions: [{ id: hexOf('session'), epoch: 1, sealedKey: bytesOf('sealed key', 80) }],
  sequence: 77,
  records: 1000,
  tail: 3,
  tailSequence: 70,
  blocks: 4,
}

export interface RandomScorer extends Scorer {
  /** Blocks of a scan. */
  blocks: number
  tail: number
  resultBytes: number
  /** Before each block. */
  pause: () => Promise<void>
  /** Thrown before the block of this number. */
  failAt: { block: number; error: Error } | undefined
  /** Ignores its signal. */
  deaf: boolean
  readonly requests: ScanRequest[]
  running: number
  mostRunning: number
  /** Scans that were ended early, by signal or by `return`. */
  ended: number
  residentBytes: number
}

export function randomScorer(): RandomScorer {
  async function* blocks(
    scorer: RandomScorer,
    request: ScanRequest,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<BlockScores> {
    let whole = false
    try {
      for (let block = 0; block < scorer.blocks; block++) {
        await scorer.pause()
        if (signal?.aborted === true && !scorer.deaf) throw endedError(signal)
        if (scorer.failAt?.block === block) throw scorer.failAt.error
        yield scoresOf(block, request.queries.length, scorer.resultBytes)
      }
      whole = true
    } finally {
      scorer.running--
      if (!whole) scorer.ended++
    }
  }
  const scorer: RandomScorer = {
    blocks: 4,
    tail: 3,
    resultBytes: 39_216,
    pause: () => Promise.resolve(),
    failAt: undefined,
    deaf: false,
    requests: [],
    running: 0,
    mostRunning: 0,
    ended: 0,
    residentBytes: 123_456,
    async collection(name) {
      refuseUnknown(name)
      return Promise.resolve(STATE)
    },
    async scan(name, request, options): Promise<Scan> {
      refuseUnknown(name)
      scorer.requests.push(request)
      scorer.running++
      scorer.mostRunning = Math.max(scorer.mostRunning, scorer.running)
      return Promise.resolve({
        sequence: 77,
        tail: {
          sequence: 70,
          records:
            request.knownTail === 70
              ? undefined
              : Array.from({ length: scorer.tail }, (_, i) => recordOf(`tail ${i}`, i)),
        },
        blocks: blocks(scorer, request, options?.signal),
      })
    },
    async records(name, places) {
      refuseUnknown(name)
      return Promise.resolve(
        places.map((place) =>
          place.slot === 13
            ? undefined
            : recordOf(`${place.block} ${place.slot}`, place.block * 256 + place.slot, place),
        ),
      )
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  return scorer
}

function refuseUnknown(name: string): void {
  if (name === 'docs') return
  throw new EmbeddingError('COLLECTION_NOT_FOUND', 'there is no such collection', { where: name })
}

export function scoresOf(block: number, queries: number, resultBytes: number): BlockScores {
  return {
    block,
    epoch: 1,
    live: bytesOf(`live ${block}`, 32),
    results: Array.from({ length: queries }, (_, query) =>
      bytesOf(`result ${block} ${query}`, resultBytes),
    ),
  }
}
