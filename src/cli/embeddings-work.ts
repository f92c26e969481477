/** `keyrite embeddings work`: one of any number of scorers that share the scans of a database. It holds no key. */
import type { Command } from 'commander'

import { ConfigError } from '../errors.ts'
import type { KernelPath, WorkerEvent } from '../he/scorer-side.ts'
import { type Dispatch, type Invocation, addCommand, wholeNumber } from './command.ts'
import { scanOptions } from './embeddings-options.ts'
import { isDatabase, type StoreOptions, storeLocation, storeOptions } from './embeddings-store.ts'
import { grouped } from './fpe-progress.ts'
import { createInterrupts } from './interrupts.ts'
import { scorerLibrary } from './libraries.ts'
import { systemClock } from './system-ports.ts'

interface WorkOptions extends StoreOptions {
  readonly threads?: number
  readonly kernel?: KernelPath
  readonly maxMemory?: number
  readonly leaseMs?: number
  readonly logTasks?: boolean
}

async function work({ options, output }: Invocation<WorkOptions>): Promise<undefined> {
  const url = await storeLocation(options)
  if (!isDatabase(url)) {
    throw new ConfigError('workers share a database', {
      where: '--store',
      expected: 'postgres://USER@HOST/DATABASE',
      got: 'another location',
      hint: 'a store in a directory has one scorer: keyrite embeddings serve',
    })
  }
  const { runScanWorker } = await scorerLibrary()
  const { side } = output
  using interrupts = createInterrupts(
    {
      closing: () => side.print('stopping: the task at work goes back to the queue ...'),
      warning: () => side.print('still stopping; once more ends at once'),
      kill: (status) => process.exit(status),
    },
    () => systemClock.monotonicMs(),
  )
  const { threads, kernel, maxMemory, leaseMs } = options
  let finished = 0
  const onEvent = (event: WorkerEvent): void => {
    if (event.what === 'finished') finished += 1
    const time = new Date(systemClock.wallMs()).toISOString()
    if (options.logTasks === true) side.verbatim(JSON.stringify({ time, ...event }))
    else if (event.what === 'trouble' || event.what === 'failed') {
      side.print(`${event.what}: ${event.error ?? ''}`, { hang: 9, style: 'yellow' })
    }
  }
  side.print('waiting for scans; this process holds no key')
  await runScanWorker({
    ...{ url, leaseMs, onEvent, signal: interrupts.signal },
    ...(threads === undefined ? {} : { threads }),
    ...(kernel === undefined ? {} : { path: kernel }),
    ...(maxMemory === undefined ? {} : { maxResidentBytes: maxMemory }),
  })
  output.document({ command: 'embeddings work', tasks: finished })
  output.text.print(`${grouped(finished)} tasks done`)
  return undefined
}

/** Adds work. */
export function addWorkCommand(group: Command, dispatch: Dispatch): void {
  addCommand<WorkOptions>(group, dispatch, {
    usage: 'work',
    summary: 'Take part in the scans of a database, as one of any number of workers',
    details:
      'Searches with --scorer queue are cut into tasks in PostgreSQL; whichever worker is free takes the next one. A worker that dies loses nothing: its task goes to another one when its lease is over. Ends at SIGTERM or Ctrl-C.',
    examples: [
      'embeddings work --store postgres://worker@db.example/vectors',
      'embeddings work --store-url-file worker-url --max-memory 64G --threads 16',
    ],
    options: (command) =>
      scanOptions(storeOptions(command))
        .option(
          '--lease-ms <number>',
          'a task without a sign of life for so long goes to another worker; default 10000',
          wholeNumber(100),
        )
        .option('--log-tasks', 'one line of JSON for each step, on standard error'),
    run: work,
  })
}
