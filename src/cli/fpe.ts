/** `keyrite fpe`: columns of files under format-preserving encryption, with keys in the HSM. */
import type { Command } from 'commander'

import { type Dispatch, addCommand, addGroup } from './command.ts'
import { type CheckOptions, runCheck } from './fpe-check.ts'
import { type FpeOptions, type Task, fileOptions, keyOptions } from './fpe-options.ts'
import { runFile } from './fpe-run.ts'

const ROWS = `CSV, JSON Lines or plain lines, UTF-8. All but the named columns stays byte for byte. Columns that share a version column are worked on together. The output grows as OUT.part and gets its name when it is whole; after an interruption the same command with --resume goes on.

Exit 0: every row. Exit 1: bad rows were left out (--on-error skip or report), or the run was stopped. Exit 3: a bad row, file or setting stopped it. Errors and reports name line and column, never a value.

No integrity: another key, version or configuration decrypts to other values without an error. Whoever may encrypt with a key may decrypt with it.`

interface FileCommand {
  readonly task: Task
  readonly summary: string
  readonly details: string
  readonly examples: readonly [string, ...string[]]
}

const FILES: readonly FileCommand[] = [
  {
    task: 'encrypt',
    summary: 'Encrypt columns of a file under the current version of their key',
    details:
      'Writes the key version into the version column of the configuration; a column that is missing is added at the end of each row.',
    examples: [
      'fpe encrypt -c columns.json --in customers.csv --out masked.csv --module /usr/lib/softhsm/libsofthsm2.so',
      'fpe encrypt -c columns.json --in customers.csv --out masked.csv --column pan --on-error report',
      'fpe encrypt -c columns.json --in - --out - --format jsonl --login-fd 3 3< login < events > masked',
    ],
  },
  {
    task: 'decrypt',
    summary: 'Decrypt columns of a file under the key version beside each value',
    details:
      'Takes the version column away where it is the last one, and empties it elsewhere. The output can be read by you alone (mode 0600).',
    examples: [
      'fpe decrypt -c columns.json --in masked.csv --out customers.csv',
      'fpe decrypt -c columns.json --in numbers.txt --out plain.txt --column pan --from-version 1',
    ],
  },
  {
    task: 'rewrap',
    summary: 'Move columns of a file from the key version beside each value to the current one',
    details: 'Also from FF3-1 to FF1. Values are in the clear in this process only, for a moment.',
    examples: [
      'fpe rewrap -c columns.json --in masked.csv --out masked-2.csv',
      'fpe rewrap -c columns.json --in legacy.csv --out masked.csv --from-version 1 --resume',
    ],
  },
]

/** Adds the group to the tree. */
export function addFpeCommands(program: Command, dispatch: Dispatch): void {
  const group = addGroup(
    program,
    'fpe',
    'Format-preserving encryption of columns in files (FF1; FF3-1 for data that exists)',
    'fpe check -c columns.json --module /usr/lib/softhsm/libsofthsm2.so',
  )
  for (const { task, summary, details, examples } of FILES) {
    addCommand<FpeOptions>(group, dispatch, {
      usage: task,
      summary,
      details: `${details}\n\n${ROWS}`,
      examples,
      options: fileOptions(task),
      run: (invocation) => runFile(task, invocation),
    })
  }
  addCommand<CheckOptions>(group, dispatch, {
    usage: 'check',
    summary: 'Check a configuration of columns, and with a module also its keys',
    details:
      'Prints for each column how many values are possible at its encrypted positions. With a module it logs in to each token and says whether a key can do more than encrypt single blocks: exit 1.',
    examples: [
      'fpe check -c columns.json',
      'fpe check -c columns.json --module /usr/lib/softhsm/libsofthsm2.so --json',
    ],
    options: (command) =>
      keyOptions(command).requiredOption('-c, --config <file>', 'columns and their keys'),
    run: runCheck,
  })
}
