/** Who may be inside the module on other threads, and when nobody is. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { createJobs, Interrupted } from '../../src/pkcs11/jobs.ts'

/** A job that ends when it is told to, or when it is stopped. */
function held(result = 'done') {
  const end = Promise.withResolvers<string>()
  const stop = vi.fn(() => end.reject(new Interrupted()))
  return { start: vi.fn(() => end.promise), stop, finish: () => end.resolve(result) }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('jobs', () => {
  test('run beside each other and give their results', async () => {
    const jobs = createJobs('module')
    const [a, b] = [held('a'), held('b')]
    const results = Promise.all([jobs.start(a), jobs.start(b)])
    expect(a.start).toHaveBeenCalledOnce()
    b.finish()
    a.finish()
    expect(await results).toEqual(['a', 'b'])
  })

  test('alone: those that run are stopped and awaited, none starts before it is over', async () => {
    const jobs = createJobs('module')
    const order: string[] = []
    const slow = Promise.withResolvers<undefined>()
    const running = expect(
      jobs.start({
        start: async () => {
          await slow.promise
          order.push('ended')
          throw new Interrupted()
        },
        stop: () => void order.push('stopped'),
      }),
    ).rejects.toBeInstanceOf(Interrupted)
    const alone = jobs.alone(() => order.push('alone'))
    const late = held()
    await expect(jobs.start(late)).rejects.toBeInstanceOf(Interrupted)
    expect(late.start).not.toHaveBeenCalled()
    let opened = false
    void jobs.open.then(() => {
      opened = true
    })
    await vi.advanceTimersByTimeAsync(5)
    expect(order).toEqual(['stopped'])
    expect(opened).toBe(false)
    slow.resolve(undefined)
    await alone
    await running
    expect(order).toEqual(['stopped', 'ended', 'alone'])
    await jobs.open
    late.finish()
    expect(await jobs.start(late)).toBe('done')
  })

  test('a job that does not end is MODULE_BUSY after the limit, and others may start again', async () => {
    const jobs = createJobs('/the/module.so')
    const hung = held()
    hung.stop.mockImplementation(() => undefined)
    const running = jobs.start(hung)
    const work = vi.fn()
    const busy = expect(jobs.alone(work, 100)).rejects.toMatchObject({
      code: 'MODULE_BUSY',
      where: '/the/module.so',
      expected: 'their end within 100 ms',
    })
    await vi.advanceTimersByTimeAsync(100)
    await busy
    expect(work).not.toHaveBeenCalled()
    const next = held()
    next.finish()
    expect(await jobs.start(next)).toBe('done')
    hung.finish()
    expect(await running).toBe('done')
  })

  test('a job that fails leaves, and so does work that throws', async () => {
    const jobs = createJobs('module')
    const failing = { start: () => Promise.reject(new Error('no')), stop: vi.fn() }
    await expect(jobs.start(failing)).rejects.toThrow('no')
    const alone = jobs.alone(() => {
      throw new Error('work')
    })
    await expect(alone).rejects.toThrow('work')
    expect(failing.stop).not.toHaveBeenCalled()
    await jobs.open
    const next = held()
    next.finish()
    expect(await jobs.start(next)).toBe('done')
  })
})
