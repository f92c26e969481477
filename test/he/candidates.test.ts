import { describe, expect, it } from 'vitest'

import { candidateList } from '../../src/he/candidates.ts'

const all = (slots: number): Uint8Array => {
  const live = new Uint8Array(Math.ceil(slots / 8))
  for (let slot = 0; slot < slots; slot++) live[slot >> 3]! |= 1 << (slot & 7)
  return live
}

describe('candidates', () => {
  it('are the largest scores of many blocks, in order, however they come', () => {
    const list = candidateList(25)
    const expected: { block: number; slot: number; score: number }[] = []
    let state = 1
    for (let block = 0; block < 40; block++) {
      const scores = Int32Array.from({ length: 256 }, () => {
        state = (Math.imul(state, 48271) >>> 0) % 2147483647
        return (state % 2001) - 1000
      })
      list.offer(block, scores, all(256))
      scores.forEach((score, slot) => expected.push({ block, slot, score }))
    }
    expected.sort((a, b) => b.score - a.score || a.block - b.block || a.slot - b.slot)
    expect(list.best()).toEqual(expected.slice(0, 25))
    // Equal scores are there: the order among them is that of their places.
    expect(new Set(expected.slice(0, 25).map(({ score }) => score)).size).toBeLessThan(25)
  })

  it('leave out slots whose bit is not set, and bits beyond the block', () => {
    const list = candidateList(10)
    list.offer(3, Int32Array.of(5, 9, 7), Uint8Array.of(0b11111101))
    expect(list.best()).toEqual([
      { block: 3, slot: 2, score: 7 },
      { block: 3, slot: 0, score: 5 },
    ])
  })

  it('go on after having been read', () => {
    const list = candidateList(2)
    list.offer(0, Int32Array.of(1, 2, 3), all(3))
    expect(list.best().map(({ score }) => score)).toEqual([3, 2])
    list.offer(1, Int32Array.of(4), all(1))
    expect(list.best().map(({ score }) => score)).toEqual([4, 3])
  })
})
