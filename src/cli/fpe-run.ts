/** One run of encrypt, decrypt or rewrap: from the options to the exit code. */
import { toHex } from '../bytes.ts'
import { canonicalDigest } from '../canonical.ts'
import { FpeError } from '../errors.ts'
import type { FpeConfig, StreamProgress } from '../fpe/index.ts'
import type { Invocation } from './command.ts'
import { EXIT, type ExitCode, UsageError } from './exit-code.ts'
import { type FpeInput, openInput } from './fpe-input.ts'
import { openKeys } from './fpe-keys.ts'
import {
  type FilePlan,
  type FpeOptions,
  type Task,
  planFile,
  streamOptions,
} from './fpe-options.ts'
import { type FpeOutput, isStandard, openOutput } from './fpe-output.ts'
import { grouped, megabytes, progressPrinter } from './fpe-progress.ts'
import { type Interrupts, createInterrupts } from './interrupts.ts'
import { fpeLibrary } from './libraries.ts'
import { readText } from './read-input.ts'
import type { Screen } from './screen.ts'
import { systemClock } from './system-ports.ts'
import { youngGenerationCap } from './young-generation.ts'

/** Says once that a method is not approved. */
export function warnOfMethods(config: FpeConfig, side: Screen): void {
  const legacy = Object.values(config.keys).flatMap(({ versions }) =>
    Object.values(versions).filter(({ method }) => method === 'FF3-1'),
  )
  if (legacy.length === 0) return
  side.print(
    'warning: FF3-1 is not NIST-approved (removed from SP 800-38G Rev. 1 in February 2025); rewrap such values to FF1',
    { hang: 9, style: 'yellow' },
  )
}

function stopRequests(side: Screen): Interrupts {
  return createInterrupts(
    {
      closing: () => side.print('stopping after the rows that are at work ...'),
      warning: () =>
        side.print('still stopping; once more ends at once, and what was written stays'),
      kill: (status) => process.exit(status),
    },
    () => systemClock.monotonicMs(),
  )
}

function stoppedAt(progress: StreamProgress | undefined, output: FpeOutput): FpeError {
  return new FpeError('ABORTED', 'stopped by a person', {
    where: progress === undefined ? 'before the first row' : `after line ${progress.lines}`,
    expected: 'the whole file',
    got: `${grouped(progress?.rows ?? 0)} rows`,
    hint:
      output.part === undefined
        ? 'begin again'
        : 'the same command with --resume goes on from there',
  })
}

/** Everything between two opened files. Returns where the stream stands in the end. */
async function pump(
  plan: FilePlan,
  invocation: Invocation<FpeOptions>,
  input: FpeInput,
  output: FpeOutput,
  interrupts: Interrupts,
): Promise<StreamProgress | undefined> {
  const { options, output: words, io } = invocation
  const { fpePieces, openColumns } = await fpeLibrary()
  warnOfMethods(plan.config, words.side)
  await using keys = await openKeys(options, words.side, io)
  const { chunkBlocks } = options
  const checkValues: [uri: string, kcv: string][] = []
  const columns = await openColumns(plan.config, async (uri) => {
    const key = await keys.key(uri)
    checkValues.push([uri, (await key.kcv()).value])
    return key.blockCipher(chunkBlocks === undefined ? {} : { chunkBlocks })
  })
  output.useKeys(toHex(canonicalDigest(checkValues)))
  const { signal } = interrupts
  const capMemory = youngGenerationCap()
  let progress = output.from
  const report = progressPrinter(words.side, input.size, progress, () => systemClock.monotonicMs())
  const from = progress && {
    progress,
    preamble: await input.head(progress.preambleBytes),
  }
  const bytes = input.bytes(progress?.inputBytes ?? 0, signal)
  try {
    const settings = { ...streamOptions(plan, options, columns), signal }
    for await (const piece of fpePieces(bytes, settings, from)) {
      await output.write(piece)
      progress = piece.progress
      capMemory()
      if (io.stderr.isTTY === true) report(progress)
      if (signal.aborted) break
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
  if (signal.aborted) throw stoppedAt(progress, output)
  return progress
}

/** A part is worth keeping, and a person worth telling, when there are rows in it. */
async function keepPart(output: FpeOutput, side: Screen): Promise<void> {
  // The error that led here is the one to tell; without this checkpoint the one before it counts.
  const kept = await output.keep().catch(() => true)
  if (kept && output.part !== undefined)
    side.print(`kept: ${output.part} (--resume goes on with it)`)
}

/** Runs one of the commands. */
export async function runFile(task: Task, invocation: Invocation<FpeOptions>): Promise<ExitCode> {
  const { options, output: words } = invocation
  if (isStandard(options.out) && words.json) {
    throw new UsageError('USAGE', 'standard output cannot carry both rows and a summary', {
      where: '--json',
      expected: '--out with a file',
      got: '--out -',
    })
  }
  const started = systemClock.monotonicMs()
  const { parseFpeConfig } = await fpeLibrary()
  const text = await readText(options.config, 'a configuration of columns')
  const plan = planFile(task, options, text, parseFpeConfig(text, options.config))
  using interrupts = stopRequests(words.side)
  await using input = await openInput(options.in)
  await using output = await openOutput(plan, options, input, words.side)
  let progress: StreamProgress | undefined
  try {
    progress = await pump(plan, invocation, input, output, interrupts)
    await input.checkUnchanged()
    await output.finish()
  } catch (error) {
    await keepPart(output, words.side)
    throw error
  }
  const seconds = (systemClock.monotonicMs() - started) / 1000
  const { rows = 0, badRows = 0, values = 0, inputBytes = 0, outputBytes = 0 } = progress ?? {}
  words.document({
    command: `fpe ${task}`,
    ...{
      format: plan.format,
      columns: plan.columns,
      rows,
      badRows,
      values,
      inputBytes,
      outputBytes,
    },
    ...{ seconds, resumed: output.from !== undefined, out: options.out },
    rejects: output.rejects ?? null,
  })
  const screen = output.stream ? words.side : words.text
  const bad = badRows === 0 ? '' : `, ${grouped(badRows)} bad rows left out`
  screen.print(
    `${grouped(rows)} rows, ${grouped(values)} values, ${megabytes(outputBytes)} in ${seconds.toFixed(1)} s${bad}`,
  )
  if (badRows > 0 && output.rejects !== undefined) screen.print(`bad rows: ${output.rejects}`)
  return badRows > 0 ? EXIT.refused : EXIT.ok
}
