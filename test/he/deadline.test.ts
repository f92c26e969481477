import { setTimeout as sleep } from 'node:timers/promises'

import { describe, expect, it } from 'vitest'

import { callSignal, endedError, throwIfEnded } from '../../src/he/deadline.ts'

describe('the end of a call', () => {
  it('is nobody\u2019s when neither signal nor time is given', () => {
    expect(callSignal()).toBeUndefined()
    expect(() => throwIfEnded(undefined)).not.toThrow()
  })

  it('is told apart: the caller\u2019s, or the time', async () => {
    const stop = new AbortController()
    const signal = callSignal({ signal: stop.signal, timeoutMs: 60_000 })!
    expect(() => throwIfEnded(signal)).not.toThrow()
    stop.abort()
    expect(() => throwIfEnded(signal)).toThrow(expect.objectContaining({ code: 'ABORTED' }))

    const late = callSignal({ signal: new AbortController().signal, timeoutMs: 1 })!
    await sleep(20)
    expect(endedError(late)).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  })

  it.each([-1, Number.NaN])('%s is no time', (timeoutMs) => {
    expect(() => callSignal({ timeoutMs })).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED' }),
    )
  })

  it('takes a time longer than a timer runs', () => {
    expect(callSignal({ timeoutMs: 1e15 })!.aborted).toBe(false)
  })
})
