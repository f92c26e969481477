/** The pool's bookkeeping under faults that a real module shows only by chance: sessions are numbers here. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { TokenError } from '../../src/errors.ts'
import type { SessionHandle } from '../../src/pkcs11/cryptoki.ts'
import { pkcs11Error } from '../../src/pkcs11/return-value.ts'
import { createSessionPool } from '../../src/pkcs11/session-pool.ts'

const DEVICE_ERROR = 0x30
const SESSION_COUNT = 0xb1

function port(most = Infinity) {
  let next = 0n
  const open = new Set<SessionHandle>()
  return {
    open: vi.fn(() => {
      if (open.size >= most) throw pkcs11Error('C_OpenSession', SESSION_COUNT)
      next += 1n
      const session = next as SessionHandle
      open.add(session)
      return session
    }),
    close: vi.fn((session: SessionHandle) => void open.delete(session)),
    alive: open,
  }
}

/** A promise and its resolver. */
const gate = () => Promise.withResolvers<undefined>()

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('session pool', () => {
  test('one session serves calls that follow each other', async () => {
    const sessions = port()
    const pool = createSessionPool(sessions, { max: 4, waitTimeoutMs: 100 })
    for (let n = 0; n < 5; n += 1) await pool.use((session) => expect(session).toBe(1n))
    expect(sessions.open).toHaveBeenCalledTimes(1)
    expect(pool.size).toBe(1)
  })

  test('concurrent operations never share a session; the last one back is used first', async () => {
    const sessions = port()
    const pool = createSessionPool(sessions, { max: 3, waitTimeoutMs: 100 })
    const gates = [gate(), gate(), gate()]
    const seen: bigint[] = []
    const running = gates.map(({ promise }) =>
      pool.use(async (session) => {
        seen.push(session)
        await promise
      }),
    )
    await vi.advanceTimersByTimeAsync(0)
    expect(new Set(seen).size).toBe(3)
    expect(pool.busy).toBe(3)
    gates[2]!.resolve(undefined)
    await running[2]
    gates[0]!.resolve(undefined)
    await running[0]
    await pool.use((session) => expect(session).toBe(seen[0]))
    gates[1]!.resolve(undefined)
    await Promise.all(running)
    expect(pool.busy).toBe(0)
  })

  test('who waits is served in order, and refused with POOL_TIMEOUT after the limit', async () => {
    const sessions = port()
    const pool = createSessionPool(sessions, { max: 1, waitTimeoutMs: 100 })
    const first = gate()
    const order: string[] = []
    const a = pool.use(() => first.promise)
    const b = pool.use(() => void order.push('b'))
    const c = pool.use(() => void order.push('c'))
    first.resolve(undefined)
    await Promise.all([a, b, c])
    expect(order).toEqual(['b', 'c'])

    const second = gate()
    const d = pool.use(() => second.promise)
    const late = expect(pool.use(() => order.push('late'))).rejects.toMatchObject({
      code: 'POOL_TIMEOUT',
      got: '1 of 1 in use',
    })
    await vi.advanceTimersByTimeAsync(100)
    await late
    second.resolve(undefined)
    await d
    expect(order).toEqual(['b', 'c'])
    expect(sessions.open).toHaveBeenCalledTimes(1)
  })

  test('a CKR evicts the session; an argument that was refused does not', async () => {
    const sessions = port()
    const pool = createSessionPool(sessions, { max: 2, waitTimeoutMs: 100 })
    await expect(
      pool.use(() => {
        throw new TokenError('ARGUMENT_INVALID', 'no')
      }),
    ).rejects.toThrow(TokenError)
    expect(sessions.close).not.toHaveBeenCalled()
    await expect(
      pool.use(() => {
        throw pkcs11Error('C_Encrypt', DEVICE_ERROR)
      }),
    ).rejects.toMatchObject({ rv: 'CKR_DEVICE_ERROR' })
    expect(sessions.close).toHaveBeenCalledExactlyOnceWith(1n)
    await pool.use((session) => expect(session).toBe(2n))
  })

  test('a close that fails too does not hide the first error', async () => {
    const sessions = port()
    sessions.close.mockImplementation(() => {
      throw pkcs11Error('C_CloseSession', DEVICE_ERROR)
    })
    const pool = createSessionPool(sessions, { max: 2, waitTimeoutMs: 100 })
    await expect(
      pool.use(() => {
        throw pkcs11Error('C_Sign', DEVICE_ERROR)
      }),
    ).rejects.toMatchObject({ fn: 'C_Sign' })
  })

  test('a token with fewer sessions than promised makes operations wait, not fail', async () => {
    const sessions = port(1)
    const pool = createSessionPool(sessions, { max: 4, waitTimeoutMs: 100 })
    const first = gate()
    const a = pool.use(() => first.promise)
    const b = pool.use((session) => session)
    await vi.advanceTimersByTimeAsync(10)
    first.resolve(undefined)
    await a
    expect(await b).toBe(1n)
  })

  test('with none of ours to wait for, CKR_SESSION_COUNT is thrown', async () => {
    const pool = createSessionPool(port(0), { max: 4, waitTimeoutMs: 100 })
    await expect(pool.use(() => 1)).rejects.toMatchObject({ rv: 'CKR_SESSION_COUNT' })
  })

  test('clear refuses who waits and never takes an old session back', async () => {
    const sessions = port()
    const pool = createSessionPool(sessions, { max: 1, waitTimeoutMs: 100 })
    const first = gate()
    const a = pool.use(() => first.promise)
    const b = expect(pool.use(() => 1)).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    pool.clear('close')
    await b
    await pool.use((session) => expect(session).toBe(2n))
    first.resolve(undefined)
    await a
    expect(sessions.close).toHaveBeenCalledExactlyOnceWith(1n)
    expect(pool.size).toBe(1)
    await pool.use((session) => expect(session).toBe(2n))
  })

  test('forgotten sessions are never closed: their handles may be in use again', async () => {
    const sessions = port()
    const pool = createSessionPool(sessions, { max: 2, waitTimeoutMs: 100 })
    const first = gate()
    const a = pool.use(() => first.promise)
    await pool.use((session) => expect(session).toBe(2n))
    pool.clear('forget')
    first.resolve(undefined)
    await a
    expect(sessions.close).not.toHaveBeenCalled()
    expect(pool.size).toBe(0)
  })

  test.each([0, -1, 1.5, Number.NaN])('max %d is refused', (max) => {
    expect(() => createSessionPool(port(), { max, waitTimeoutMs: 100 })).toThrow(
      expect.objectContaining({ code: 'ARGUMENT_INVALID', where: 'max' }),
    )
  })
})
