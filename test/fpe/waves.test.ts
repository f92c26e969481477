/** State machines that are not resumed any more, because the key failed, leave nothing behind. */
import { expect, it } from 'vitest'

import { ff1Steps } from '../../src/fpe/ff1.ts'
import { ff3_1Steps } from '../../src/fpe/ff3-1.ts'
import { shapeOf } from '../../src/fpe/parameters.ts'
import { enqueue } from '../../src/fpe/queue.ts'
import { type Steps, runWaves } from '../../src/fpe/waves.ts'
import type { BlockCipher } from '../../src/ports.ts'

const failing: BlockCipher = {
  encryptBlocks: () => Promise.reject(new Error('the key failed')),
}
const numerals = () => Uint16Array.from({ length: 16 }, (_, i) => i % 10)

it.each<[string, (blocks: Uint8Array[]) => Steps<Uint16Array>]>([
  ['FF1', (blocks) => watched(blocks, ff1())],
  ['FF3-1', (blocks) => watched(blocks, ff3_1Steps('encrypt', numerals(), new Uint8Array(7), 10))],
])('machines of %s wipe their blocks when the key fails', async (_method, machine) => {
  const blocks: Uint8Array[] = []
  await expect(runWaves(failing, [machine(blocks), machine(blocks)])).rejects.toThrow('key failed')
  expect(blocks.map((block) => block.every((byte) => byte === 0))).toEqual([true, true])
})

it('a single value is wiped when the key fails', async () => {
  const record = { radix: 10, numerals: numerals(), tweak: new Uint8Array() }
  await expect(enqueue(failing, 'FF1', 'encrypt', record)).rejects.toThrow('key failed')
  expect(record.numerals).toEqual(new Uint16Array(16))
})

function ff1(): Steps<Uint16Array> {
  const { ff1: parameters } = shapeOf('FF1', 10, 16, 0)
  const start = new Uint8Array(16).fill(0xa5)
  return ff1Steps('encrypt', numerals(), new Uint8Array(), parameters!, start, true)
}

/** Keeps the blocks a machine yields. */
function* watched(blocks: Uint8Array[], machine: Steps<Uint16Array>): Steps<Uint16Array> {
  try {
    for (;;) {
      const next = machine.next()
      if (next.done === true) return next.value
      blocks.push(next.value)
      yield next.value
    }
  } finally {
    machine.return(new Uint16Array())
  }
}
