/**
 * `npm run bench:he`: encrypted search against what limits it and against its peers, in the same run. `--million`
 * adds a scan of a million vectors, which takes 13 GB of memory. `--json`: one object a line.
 */
import { availableParallelism } from 'node:os'

import { kernelRows } from './he-kernel.ts'
import { searchRows } from './he-search.ts'
import { workerRows } from './he-workers.ts'
import { printRows } from './rows.ts'

const rows = [
  ...(await kernelRows(process.argv.includes('--million'))),
  ...(await searchRows(availableParallelism())),
  ...(await workerRows()),
]
printRows(rows, 'npm run bench:he')
