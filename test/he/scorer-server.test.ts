/** The server of a scorer over a real Unix socket, driven by its own client. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { connectScorer } from '../../src/he/scorer-client.ts'
import { serveScorer } from '../../src/he/scorer-server.ts'
import type { BlockScores, Scan } from '../../src/he/types.ts'
import { STATE, bytesOf, randomScorer, recordOf, scoresOf } from './random-scorer.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyrite-scorer-'))
})
afterEach(() => rmSync(directory, { recursive: true }))
const socket = () => join(directory, 'scorer.sock')

export async function all(scan: Scan): Promise<BlockScores[]> {
  const blocks: BlockScores[] = []
  for await (const block of scan.blocks) blocks.push(block)
  return blocks
}
const query = (epoch = 1, length = 1000) => new Map([[epoch, bytesOf(`query ${epoch}`, length)]])

describe('a scorer behind a socket', () => {
  it('answers as the scorer itself', async () => {
    const own = randomScorer()
    await using server = await serveScorer({ scorer: own, listen: { socket: socket() } })
    await using scorer = await connectScorer(server.address)
    expect(await scorer.collection('docs')).toEqual(STATE)
    const request = {
      queries: [query(), query(1, 1_300_000)],
      filter: [{ field: 'colour', anyOf: [bytesOf('red', 16), bytesOf('blue', 16)] }],
      knownTail: 69,
    }
    const scan = await scorer.scan('docs', request)
    expect(scan.sequence).toBe(77)
    expect(scan.tail).toEqual({
      sequence: 70,
      records: [0, 1, 2].map((i) => recordOf(`tail ${i}`, i)),
    })
    expect(await all(scan)).toEqual([0, 1, 2, 3].map((block) => scoresOf(block, 2, 39_216)))
    expect(own.requests).toEqual([request])
    const places = [
      { block: 1, slot: 2 },
      { block: 7, slot: 13 },
      { block: 0, slot: 255 },
    ]
    expect(await scorer.records('docs', places)).toEqual(await own.records('docs', places))
  })
})
