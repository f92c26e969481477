/** The stream itself: order, two batches at work, back-pressure, stopping, and what bad rows may say. */
import { setImmediate } from 'node:timers/promises'
import { ReadableStream, WritableStream } from 'node:stream/web'

import { describe, expect, it } from 'vitest'

import { FpeError, TokenError } from '../../src/errors.ts'
import {
  type FpeStreamOptions,
  type StreamProgress,
  fpePieces,
  fpeTransform,
} from '../../src/fpe/stream.ts'
import { fakeColumn } from './fake-column.ts'
import { chunks, streamed } from './run-stream.ts'

const lines = (more: Partial<FpeStreamOptions> = {}): FpeStreamOptions => ({
  format: 'lines',
  direction: 'encrypt',
  columns: [{ column: fakeColumn('pan') }],
  ...more,
})
const numbered = (count: number): string =>
  Array.from({ length: count }, (_, i) => `${i}\n`).join('')

describe('batches', () => {
  it('keep their order when a later one is done first', async () => {
    let calls = 0
    const onCall = async (): Promise<void> => {
      calls += 1
      for (let wait = calls % 2 === 1 ? 20 : 0; wait > 0; wait -= 1) await setImmediate()
    }
    const columns = [{ column: fakeColumn('pan', { onCall }) }]
    const { text } = await streamed(numbered(1000), lines({ columns, batchRows: 10 }))
    const expected = numbered(1000).replaceAll(/\d/g, (d) => String((Number(d) + 1) % 10))
    expect({ calls, same: text === expected }).toEqual({ calls: 100, same: true })
  })

  it('at work at one time: two, and no more are read until one was taken', async () => {
    let [atWork, most, calls] = [0, 0, 0]
    const onCall = async (): Promise<void> => {
      calls += 1
      most = Math.max(most, (atWork += 1))
      await setImmediate()
      atWork -= 1
    }
    const columns = [{ column: fakeColumn('pan', { onCall }) }]
    const pieces = fpePieces(
      chunks(Buffer.from(numbered(100)), 8),
      lines({ columns, batchRows: 5 }),
    )
    await pieces.next()
    for (let i = 0; i < 50; i += 1) await setImmediate()
    expect({ most, calls }).toEqual({ most: 2, calls: 2 })
    await pieces.return()
    expect(calls).toBe(2)
  })

  it('of a consumer that stops are over before it goes on', async () => {
    let atWork = 0
    const onCall = async (): Promise<void> => {
      atWork += 1
      for (let wait = 0; wait < 20; wait += 1) await setImmediate()
      atWork -= 1
    }
    const columns = [{ column: fakeColumn('pan', { onCall }) }]
    const input = Buffer.from(numbered(100))
    const pieces = fpePieces(chunks(input, 8), lines({ columns, batchRows: 5 }))
    await pieces.next()
    await pieces.return()
    // A key that is still at work when its session is closed is a fault of its own.
    expect(atWork).toBe(0)
  })

  it('share calls: one for each column and batch', async () => {
    const sizes: number[] = []
    const onCall = (count: number) => void sizes.push(count)
    const columns = [fakeColumn('a', { onCall }), fakeColumn('b', { onCall })].map((column) => ({
      column,
    }))
    const input = `a,b\n${'1,2\n'.repeat(9)}`
    await streamed(input, { format: 'csv', direction: 'encrypt', columns, batchRows: 5 })
    // The header is a row of the first batch.
    expect(sizes).toEqual([4, 4, 5, 5])
  })
})

describe('progress', () => {
  it('says after each piece where the stream stands', async () => {
    const seen: StreamProgress[] = []
    const input = '\ufeffid,pan\n1,1\n2,x\n"3\n",1\n'
    const options: FpeStreamOptions = {
      ...lines({ format: 'csv', onError: 'skip', batchRows: 2 }),
      onProgress: (progress) => void seen.push(progress),
    }
    const { bytes } = await streamed(input, options)
    expect(seen.at(-1)).toEqual({
      rows: 3,
      badRows: 1,
      values: 2,
      lines: 5,
      inputBytes: Buffer.byteLength(input),
      outputBytes: bytes.length,
      preambleBytes: 10,
    })
    expect(seen).toHaveLength(2)
  })

  it('is enough to go on from any of its places', async () => {
    const input = Buffer.from(
      `\ufeff"pan","i\nd"\r\n${Array.from({ length: 40 }, (_, i) => `${i % 7 === 3 ? 'x' : i},"${i}\n"\r\n`).join('')}`,
    )
    const options: FpeStreamOptions = {
      ...lines({ format: 'csv', onError: 'skip', batchRows: 3 }),
      columns: [{ column: fakeColumn('pan'), versionField: 'v' }],
    }
    const whole = await streamed(input, options)
    const stops: StreamProgress[] = []
    for await (const { progress } of fpePieces(chunks(input, 50), options)) stops.push(progress)
    expect(stops.length).toBeGreaterThan(10)
    for (const progress of stops) {
      const rest = chunks(input.subarray(progress.inputBytes), 50)
      const from = { progress, preamble: input.subarray(0, progress.preambleBytes) }
      const parts = [whole.bytes.subarray(0, progress.outputBytes)]
      const bad = whole.badRows.slice(0, progress.badRows)
      let end = progress
      for await (const piece of fpePieces(rest, options, from)) {
        parts.push(Buffer.from(piece.bytes))
        bad.push(...piece.badRows)
        end = piece.progress
      }
      expect(Buffer.concat(parts).equals(whole.bytes)).toBe(true)
      expect(bad).toEqual(whole.badRows)
      expect(end).toEqual(stops.at(-1))
    }
  })
})

describe('stopping', () => {
  it('at the first bad row of the file, whichever column or batch is done first', async () => {
    const input = 'a,b\n1,1\n1,x\nx,1\n1\n'
    const columns = [{ column: fakeColumn('a') }, { column: fakeColumn('b') }]
    for (const batchRows of [1, 2, 100]) {
      const run = streamed(input, { format: 'csv', direction: 'encrypt', columns, batchRows })
      await expect(run).rejects.toMatchObject({ code: 'SYMBOL_INVALID', where: 'line 3, column b' })
    }
  })

  it('when the key fails, with its error', async () => {
    const failure = new TokenError('TOKEN_NOT_FOUND', 'gone')
    let calls = 0
    const onCall = (): void => {
      calls += 1
      if (calls === 3) throw failure
    }
    const columns = [{ column: fakeColumn('pan', { onCall }) }]
    const out: string[] = []
    const run = async (): Promise<void> => {
      const pieces = fpePieces(
        chunks(Buffer.from(numbered(20)), 8),
        lines({ columns, batchRows: 4, onError: 'skip' }),
      )
      for await (const { bytes } of pieces) out.push(Buffer.from(bytes).toString())
    }
    await expect(run()).rejects.toBe(failure)
    expect(out.join('').split('\n')).toHaveLength(9)
  })

  it('on request', async () => {
    const stop = new AbortController()
    const columns = [{ column: fakeColumn('pan', { onCall: () => stop.abort() }) }]
    const run = streamed(numbered(20), lines({ columns, signal: stop.signal, batchRows: 4 }))
    await expect(run).rejects.toBeInstanceOf(FpeError)
    await expect(run).rejects.toMatchObject({ code: 'ABORTED' })
  })

  it('before anything is read when the options do not fit', () => {
    const column = fakeColumn('pan')
    const wrong: Partial<FpeStreamOptions>[] = [
      { columns: [] },
      { columns: [{ column }, { column: fakeColumn('b') }] },
      { columns: [{ column, versionField: 'v' }] },
      { columns: [{ column, tweakField: 'v' }] },
      { batchRows: 0 },
      { batchRows: 1.5 },
      { direction: 'rewrap' },
      { fromVersion: 1 },
      // A rewrap to the same version would let every value out as it is.
      JSON.parse('{ "direction": "Encrypt" }') as Partial<FpeStreamOptions>,
      JSON.parse('{ "format": "xml" }') as Partial<FpeStreamOptions>,
      JSON.parse('{ "onError": "report" }') as Partial<FpeStreamOptions>,
    ]
    for (const more of wrong)
      expect(() => fpeTransform(lines(more))).toThrow(expect.objectContaining({ code: 'CONFIG' }))
  })

  it('never lets a value out because a column lost a result', async () => {
    const inner = fakeColumn('pan')
    const column = {
      ...inner,
      encryptEach: async (values: readonly string[]) => (await inner.encryptEach(values)).slice(1),
    }
    await expect(
      streamed(numbered(3), lines({ columns: [{ column }], onError: 'skip' })),
    ).rejects.toThrow(TypeError)
  })
})

describe('fpeTransform', () => {
  it('works between web streams, and is as slow as its reader', async () => {
    let read = 0
    const source = new ReadableStream<Uint8Array>({
      pull(controller) {
        read += 1
        controller.enqueue(Buffer.alloc(1 << 20, '123\n'))
        if (read === 12) controller.close()
      },
    })
    const reader = source.pipeThrough(fpeTransform(lines())).getReader()
    await reader.read()
    for (let i = 0; i < 100; i += 1) await setImmediate()
    expect(read).toBeLessThan(8)
    let bytes = 0
    for (;;) {
      const { value, done } = await reader.read()
      if (done) break
      expect(Buffer.from(value.subarray(0, 4)).toString()).toBe('234\n')
      bytes += value.length
    }
    expect(bytes).toBeLessThan(12 << 20)
    expect(read).toBe(12)
  })

  it('fails at its readable side, and cancels the source', async () => {
    let cancelled = false
    const source = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(Buffer.from(`${'1\n'.repeat(300_000)}x\n`)),
      cancel: () => {
        cancelled = true
      },
    })
    const run = async (): Promise<void> => {
      await source.pipeThrough(fpeTransform(lines())).pipeTo(new WritableStream())
    }
    await expect(run()).rejects.toMatchObject({
      code: 'SYMBOL_INVALID',
      where: 'line 300001, column pan',
    })
    for (let i = 0; i < 20; i += 1) await setImmediate()
    expect(cancelled).toBe(true)
  })

  it('ends its work when its reader goes away', async () => {
    const stop = new AbortController()
    let aborted = false
    const onCall = (): void => undefined
    const inner = fakeColumn('pan', { onCall })
    const column = {
      ...inner,
      encryptEach: (
        values: readonly string[],
        options: { signal?: AbortSignal | undefined } = {},
      ) => {
        options.signal?.addEventListener('abort', () => (aborted = true))
        return inner.encryptEach(values)
      },
    }
    const source = ReadableStream.from(chunks(Buffer.from(numbered(500_000)), 1 << 16))
    const reader = source
      .pipeThrough(fpeTransform(lines({ columns: [{ column }], signal: stop.signal })))
      .getReader()
    await reader.read()
    await reader.cancel()
    expect(aborted).toBe(true)
  })
})

describe('values', () => {
  it('are in no bad row, error or progress', async () => {
    const planted = '4111-SECRET-1111'
    const cases: [FpeStreamOptions['format'], string][] = [
      [
        'csv',
        `pan,x\n${planted},1\n${planted}\n"${planted}"y,1\n${planted}",1\n\r${planted},"${planted}`,
      ],
      [
        'jsonl',
        `{"pan":"${planted}"}\n{"pan":{"${planted}":1}}\n${planted}\n{"pan":"1","pan":"${planted}"}\n["${planted}"]\n`,
      ],
      ['lines', `${planted}\n\n${planted}\r\n`],
    ]
    for (const [format, input] of cases) {
      const said: unknown[] = []
      const options = lines({
        format,
        onError: 'skip',
        onBadRow: (row) => said.push(row),
        onProgress: (p) => said.push(p),
      })
      const { badRows, text } = await streamed(input, options)
      expect(badRows.length).toBeGreaterThan(1)
      expect(JSON.stringify([said, badRows, text])).not.toContain('SECRET')
      const error: unknown = await streamed(input, lines({ format })).catch(
        (thrown: unknown) => thrown,
      )
      expect(error).toBeInstanceOf(Error)
      expect(`${JSON.stringify(error)} ${String((error as Error).stack)}`).not.toContain('SECRET')
    }
  })
})
