/**
 * `npm run bench:he`: encrypted search against what limits it and against its peers, in the same run. `--million`
 * adds a scan of a million vectors, which takes 13 GB of memory. `--json`: one object a line.
 */
import { kernelRows } from './he-kernel.ts'
import { printRows } from './rows.ts'

const rows = [...(await kernelRows(process.argv.includes('--million')))]
printRows(rows, 'npm run bench:he')
