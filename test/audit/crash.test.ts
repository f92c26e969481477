import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { describe, expect, it } from 'vitest'

import { leafHash, verifyLog } from '../../src/audit/index.ts'
import { toHex, utf8 } from '../../src/bytes.ts'
import { formatVerifierKey } from '../../src/note.ts'
import { buildGo, runGo } from './go-programs.ts'
import { linesOf, open, scratch } from './scratch.ts'
import { freshKey } from './software-keys.ts'

const { root, fresh } = scratch()
const key = freshKey()
const verifiers = [key.verifier]
const KILLS = 15

describe('kill -9 of a process that appends', () => {
  it(`loses no acknowledged entry and no signed size in ${KILLS} runs`, async () => {
    const dir = join(fresh(), 'log')
    const pem = join(root, 'key.pem')
    writeFileSync(pem, key.privatePem)
    const acknowledged = new Map<number, string>()
    let signed = 0

    for (let run = 0; run < KILLS; run += 1) {
      const child = spawn(
        process.execPath,
        [
          join(import.meta.dirname, 'appending-process.ts'),
          dir,
          run === 0 ? 'create' : 'append',
          pem,
        ],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      )
      let output = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
      // From the first run on there is a checkpoint to lose.
      while (!output.includes(run === 0 ? 'signed' : 'ack')) {
        expect(child.exitCode).toBeNull()
        await sleep(5)
      }
      // Anywhere within some hundred writes, syncs and checkpoints.
      await sleep(Math.random() * 60)
      child.kill('SIGKILL')
      await once(child, 'close')
      expect(child.signalCode).toBe('SIGKILL')

      const before = acknowledged.size
      for (const [, index, hash] of output.matchAll(/^ack (\d+) ([0-9a-f]{64})$/gm)) {
        expect(acknowledged.has(Number(index))).toBe(false)
        acknowledged.set(Number(index), hash!)
      }
      expect(acknowledged.size).toBeGreaterThan(before)
      for (const [, size] of output.matchAll(/^signed (\d+)$/gm)) signed = Number(size)

      {
        // The dead process's lock is stale; its log opens, recovers and goes on.
        await using log = await open(dir, { verifiers })
        expect(log.size).toBeGreaterThanOrEqual(Math.max(signed, ...acknowledged.keys()))
        await log.append({ type: 'test.reopened', run })
      }
      const lines = linesOf(dir)
      for (const [index, hash] of acknowledged) {
        expect(toHex(leafHash(utf8(lines[index]!)))).toBe(hash)
      }
      const found = await verifyLog(dir, { verifiers })
      expect(found.size).toBeGreaterThanOrEqual(signed)
    }
    expect(signed).toBeGreaterThan(0)
    expect(readFileSync(join(dir, 'checkpoints.log'), 'utf8').split('\n\n').length).toBeGreaterThan(
      KILLS,
    )
    const { accepted, output } = runGo(buildGo('../../src/audit/verify.go', root), [
      dir,
      formatVerifierKey(key.verifier),
    ])
    expect(accepted, output).toBe(true)
  })
})
