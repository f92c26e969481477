/** `keyrite embeddings compact`, `rotate` and `verify`: long work over a whole collection. */
import type { Command } from 'commander'

import { KeyriteError } from '../errors.ts'
import type { EmbeddingStore, KeyHolder, Space, StoreFault } from '../he/index.ts'
import { type Dispatch, type Invocation, addCommand } from './command.ts'
import { type HolderOptions, withCollection } from './embeddings-holder.ts'
import { EXAMPLE_KEYS, holderOptions } from './embeddings-options.ts'
import { countPrinter, secondsSince, stopRequests, stoppedAfter } from './embeddings-progress.ts'
import { EXIT, type ExitCode, exitCodeOf } from './exit-code.ts'
import { grouped, megabytes } from './fpe-progress.ts'
import type { Screen } from './screen.ts'
import { systemClock } from './system-ports.ts'

interface Work {
  readonly signal: AbortSignal
  readonly onProgress: (done: number) => void
}

/** Runs work on a collection; a stop becomes an error that says how to go on. */
async function work<T>(
  invocation: Invocation<HolderOptions>,
  how: 'write' | 'read',
  goOn: string,
  run: (holder: KeyHolder, store: EmbeddingStore, work: Work) => Promise<T>,
): Promise<T> {
  const { args, output, io } = invocation
  using interrupts = stopRequests(output.side, 'block')
  const { signal } = interrupts
  try {
    return await withCollection(invocation, how, async (holder, store) => {
      const { records: total } = await store.collection(args[0] ?? '')
      const onProgress = countPrinter(output.side, io, 'vectors', { total })
      return run(holder, store, { signal, onProgress })
    })
  } catch (error) {
    throw signal.aborted ? stoppedAfter(args[0] ?? '', goOn, error) : error
  }
}

/** What the files of blocks and records take. */
function printSpace(screen: Screen, space: Space | undefined): void {
  if (space === undefined) {
    screen.print('PostgreSQL gives the space of what is gone to new rows (autovacuum)')
    return
  }
  const { bytes, live } = space
  const kept = `; ${megabytes(bytes - live)} of it is deleted: a file is written anew when a quarter of it is`
  screen.print(
    `the store\u2019s segment files take ${megabytes(bytes)}${bytes - live > bytes / 100 ? kept : ''}`,
  )
}

async function compact(invocation: Invocation<HolderOptions>): Promise<undefined> {
  const { args, output } = invocation
  const startedMs = systemClock.monotonicMs()
  const goOn = 'nothing is lost; the same command goes on with the rest'
  const { blocks, records, space } = await work(
    invocation,
    'write',
    goOn,
    (holder, store, options) => holder.compact(store, args[0] ?? '', options),
  )
  output.document({ command: 'embeddings compact', blocks, records, space: space ?? null })
  output.text.print(
    `${grouped(blocks)} blocks taken apart, ${grouped(records)} vectors in new places, in ${secondsSince(startedMs)} s`,
  )
  printSpace(output.text, space)
  return undefined
}

async function rotate(invocation: Invocation<HolderOptions>): Promise<undefined> {
  const { args, output } = invocation
  const startedMs = systemClock.monotonicMs()
  const goOn = 'old and new are both searched; the same command goes on with the rest'
  const report = await work(invocation, 'write', goOn, (holder, store, options) =>
    holder.rotate(store, args[0] ?? '', options),
  )
  const { epoch, blocks, records, retired, space } = report
  output.document({ command: 'embeddings rotate', ...report, space: space ?? null })
  output.text.print(
    blocks === 0 && records === 0 && retired.length === 0
      ? `nothing to do: everything is under epoch ${epoch} already; a rotation needs the seed of a newer one (--seed)`
      : `everything is under epoch ${epoch}: ${grouped(blocks)} blocks and ${grouped(records)} vectors encrypted again in ${secondsSince(startedMs)} s`,
    { style: 'green' },
  )
  if (retired.length > 0) {
    output.text.print(
      `this collection no longer needs the seeds of epoch ${retired.join(', ')}; backups of it still do`,
    )
  }
  printSpace(output.text, space)
  return undefined
}

async function verify(invocation: Invocation<HolderOptions>): Promise<ExitCode> {
  const { args, output } = invocation
  const [name = ''] = args
  const startedMs = systemClock.monotonicMs()
  const faults: StoreFault[] = []
  const tell = (fault: StoreFault): void => {
    faults.push(fault)
    output.text.print(`${fault.where}: ${fault.what}`, { hang: 2, style: 'red' })
  }
  const goOn = 'verification changes nothing; run it again'
  const records = await work(invocation, 'read', goOn, async (holder, store, options) => {
    try {
      for await (const fault of holder.verify(store, name, options)) tell(fault)
    } catch (error) {
      // What cannot be read cannot be looked into further: the last fault.
      if (!(error instanceof KeyriteError) || exitCodeOf(error) !== EXIT.verification) throw error
      tell({ where: error.where ?? name, what: `${error.message}; what comes after it is unread` })
    }
    return (await store.collection(name)).records
  })
  output.document({ ok: faults.length === 0, evidence: 'crypto-verified', records, faults })
  const end = `${grouped(records)} vectors in ${secondsSince(startedMs)} s`
  if (faults.length === 0) {
    output.text.print(`every block, record and id of ${name} is what was put in: ${end}`, {
      style: 'green',
    })
    return EXIT.ok
  }
  output.text.print(`${grouped(faults.length)} faults among ${end}`, { style: 'red' })
  return EXIT.verification
}

/** Adds compact, rotate and verify. */
export function addMaintenanceCommands(group: Command, dispatch: Dispatch): void {
  addCommand<HolderOptions>(group, dispatch, {
    usage: 'compact <collection>',
    summary: 'Rewrite blocks in which many vectors are deleted, and seal the tail',
    details:
      'Searches go on meanwhile. Stopped at any point, nothing is lost. At its end the disk space of what was deleted is given back; a file of the store is written anew when more than a quarter of it is.',
    examples: [`embeddings compact docs --store ./vectors ${EXAMPLE_KEYS}`],
    options: holderOptions,
    run: compact,
  })
  addCommand<HolderOptions>(group, dispatch, {
    usage: 'rotate <collection>',
    summary: 'Encrypt a collection again under its newest seed',
    details:
      'Give the seeds of all its epochs and the new one, which ceremonies/generate-embedding-key.yaml makes. Old and new are searched together until it is done; stopped or killed, the same command goes on.',
    examples: [
      'embeddings rotate docs --store ./vectors --seed embeddings-epoch-1.json --seed embeddings-epoch-2.json',
    ],
    options: holderOptions,
    run: rotate,
  })
  addCommand<HolderOptions>(group, dispatch, {
    usage: 'verify <collection>',
    summary: 'Check every block, record and id of a collection',
    details:
      'Decrypts everything and compares it. Names each fault; exit 5 when there is one. A store that was put back as a whole to an earlier state looks sound.',
    examples: [`embeddings verify docs --store ./vectors ${EXAMPLE_KEYS}`],
    options: holderOptions,
    run: verify,
  })
}
