/** A large file goes through `keyrite fpe` in constant memory. */
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'

import { afterAll, beforeAll, expect, it } from 'vitest'

import { type FpeSite, PAN, customers, fpeSite } from './fpe-site.ts'

const TOTAL_BYTES = 300e6
const MOST_BYTES = 300e6

let site: FpeSite
beforeAll(async () => {
  site = await fpeSite()
})
afterAll(() => {
  site.stop()
  rmSync(site.dir, { recursive: true, force: true })
  site.softhsm.cleanup()
})

/** Most memory a process ever had resident, in bytes (proc(5), VmHWM). */
function peakBytes(pid: number): number {
  const [, kilobytes] =
    /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

it('300 MB of CSV: less than 300 MB resident', { timeout: 240_000 }, async () => {
  const config = site.config(1, PAN)
  const child = site.start([
    'encrypt',
    '-c',
    config,
    '--in',
    '-',
    '--out',
    '/dev/null',
    '--format',
    'csv',
  ])
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const closed = once(child, 'close')
  const header = 'id,pan,name\r\n'
  const rows = Buffer.from(customers(20_000).slice(header.length))
  const { pid, stdin } = child
  let [written, rowCount, peak] = [0, 0, 0]
  stdin?.write(header)
  while (written < TOTAL_BYTES && child.exitCode === null) {
    if (stdin?.write(rows) === false) await once(stdin, 'drain')
    written += rows.length
    rowCount += 20_000
    peak = Math.max(peak, peakBytes(pid ?? 0))
  }
  stdin?.end()
  expect((await closed)[0], stderr).toBe(0)
  expect(stderr).toContain(`${rowCount.toLocaleString('en-US')} rows`)
  process.stdout.write(`peak resident memory: ${(peak / 1e6).toFixed(0)} MB\n`)
  expect(peak).toBeGreaterThan(50e6)
  expect(peak).toBeLessThan(MOST_BYTES)
})
