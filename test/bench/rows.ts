/**
 * How benchmarks measure and print. A figure stands beside a baseline that was measured in the same run, in
 * turns with it, so that a machine that slows down slows both.
 */
import { spawnSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'

/** One line of the result. */
export interface Row {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** The peer or the limit, in the same unit. */
  readonly baseline: number
  /** value / baseline. */
  readonly ratio: number
  /** What the baseline is, for people. */
  readonly against: string
}

/** Does the work once; returns how many units it did. */
export type Work = () => number | Promise<number>

const WINDOW_MS = 250
const ROUNDS = 7

/** Units per second over at least one window. */
async function rate(work: Work): Promise<number> {
  const started = performance.now()
  let done = 0
  let elapsed = 0
  while (elapsed < WINDOW_MS) {
    done += await work()
    elapsed = performance.now() - started
  }
  return (done * 1000) / elapsed
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN

/** Medians of the rates of several works, measured in turns after one round that does not count. */
export async function rates(...works: readonly Work[]): Promise<number[]> {
  const found: number[][] = works.map(() => [])
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [at, work] of works.entries()) {
      const one = await rate(work)
      if (round > 0) found[at]?.push(one)
    }
  }
  return found.map(median)
}

export const row = (
  name: string,
  value: number,
  unit: string,
  baseline: number,
  against: string,
): Row => ({ name, value, unit, baseline, ratio: value / baseline, against })

/** Three significant digits. */
const short = (n: number): string =>
  n >= 1e6
    ? `${(n / 1e6).toPrecision(3)} M`
    : n >= 1e3
      ? `${(n / 1e3).toPrecision(3)} k`
      : n.toPrecision(3)

/** One JSON object a line for machines; a Markdown table, machine and command for people. */
export function printRows(rows: readonly Row[], command: string): void {
  const print = (line: string) => process.stdout.write(`${line}\n`)
  if (process.argv.includes('--json')) {
    for (const { name, value, unit, baseline, ratio } of rows) {
      print(JSON.stringify({ name, value, unit, baseline, ratio }))
    }
    return
  }
  print('| measurement | keyrite | baseline | ratio |')
  print('| --- | ---: | ---: | ---: |')
  for (const { name, value, unit, baseline, ratio, against } of rows) {
    print(
      `| ${name} | ${short(value)} ${unit} | ${short(baseline)} ${unit} (${against}) | ${ratio.toPrecision(3)} |`,
    )
  }
  print('')
  print(machineLine())
  print(`command: ${command}`)
}

/** What the figures were measured on. */
function machineLine(): string {
  const [cpu] = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  return `machine: ${cpu?.model.trim() ?? 'unknown'}, ${cpus().length} CPUs, ${memory} GiB, Node ${process.version}, ${process.platform}`
}

/**
 * Runs this program again on one core, so that work on other threads is not counted as free.
 * Returns when this process is that one, or when the system has no taskset, which is said.
 */
export function onOneCore(): void {
  if (process.env['KEYRITE_BENCH_PINNED'] === '1') return
  const args = ['-c', '0', process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const { status, error } = spawnSync('taskset', args, {
    stdio: 'inherit',
    env: { ...process.env, KEYRITE_BENCH_PINNED: '1' },
  })
  if (error === undefined) process.exit(status ?? 1)
  process.stderr.write('taskset is missing: not pinned to one core\n')
}
