/** The best of many integer scores, kept in bounded memory. */

/** A vector that may be a hit. */
export interface Candidate {
  readonly block: number
  readonly slot: number
  readonly score: number
}

/** See {@link candidateList}. */
export interface CandidateList {
  /** Considers the slots of a block whose bit is set. */
  offer(block: number, scores: Int32Array, live: Uint8Array): void
  /** Largest scores first; of equal ones the lower block and slot. */
  best(): readonly Candidate[]
}

const byScore = (a: Candidate, b: Candidate): number =>
  b.score - a.score || a.block - b.block || a.slot - b.slot

/** Keeps the `size` largest scores. */
export function candidateList(size: number): CandidateList {
  let kept: Candidate[] = []
  /** Scores below it cannot be among the best any more. */
  let least = -Infinity
  const cut = () => {
    kept = kept.sort(byScore).slice(0, size)
    if (kept.length === size) least = kept.at(-1)?.score ?? least
  }
  return {
    offer(block, scores, live) {
      for (let slot = 0; slot < live.length * 8; slot++) {
        if ((((live[slot >> 3] ?? 0) >> (slot & 7)) & 1) === 0) continue
        const score = scores[slot]
        if (score === undefined || score < least) continue
        kept.push({ block, slot, score })
        if (kept.length >= 4 * size + 64) cut()
      }
    },
    best() {
      cut()
      return kept
    },
  }
}
