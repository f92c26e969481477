/** `keyrite audit`: check a log without an HSM, and prove that it holds an entry. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'

import type { Command } from 'commander'

import { fromHex, toHex } from '../bytes.ts'
import { ConfigError, FormatError } from '../errors.ts'
import { type NoteVerifier, parseVerifierKey } from '../note.ts'
import { writeNew } from './ceremony-plan.ts'
import { type Dispatch, addCommand, addGroup, wholeNumber } from './command.ts'
import { auditLibrary } from './libraries.ts'
import { readText } from './read-input.ts'
import { printFields } from './table.ts'

interface TrustOptions {
  readonly vkey: string
  readonly origin?: string
  readonly anchor?: string
}

const trustOptions = (command: Command): Command =>
  command
    .requiredOption('--vkey <file>', 'trusted verifier keys of the log (C2SP vkey), one a line')
    .option('--origin <origin>', 'origin the log must have')
    .option(
      '--anchor <size:root>',
      'a size and root (hex) known from elsewhere; the log must hold it',
    )

/** The verifier keys of a file: one a line, `#` starts a comment. Throws ConfigError when there is none. */
export async function readVerifiers(file: string): Promise<NoteVerifier[]> {
  const text = await readText(file, 'verifier keys')
  const lines = text.split('\n').map((line) => line.trim())
  const keys = lines.filter((line) => line !== '' && !line.startsWith('#'))
  if (keys.length === 0) {
    throw new ConfigError('the file holds no verifier key', {
      where: file,
      expected: 'lines of NAME+KEYID+KEY',
      got: 'none',
    })
  }
  return keys.map((line) => {
    try {
      return parseVerifierKey(line)
    } catch (error) {
      if (!(error instanceof FormatError)) throw error
      const { message, expected, got } = error
      throw new FormatError(message, {
        where: file,
        expected,
        got,
        hint: 'a bundle’s vkey file is one',
      })
    }
  })
}

/** `size:root`, e.g. from the minutes of a meeting. */
function parseAnchor(text: string): { size: number; root: Uint8Array } {
  const [, size = '', root = ''] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? []
  if (root === '') {
    throw new ConfigError('not an anchor', {
      where: '--anchor',
      expected: 'SIZE:ROOT, the root as 64 lower-case hexadecimal digits',
      got: text,
    })
  }
  return { size: Number(size), root: fromHex(root) }
}

async function trust({ vkey, origin, anchor }: TrustOptions): Promise<{
  verifiers: NoteVerifier[]
  origin?: string
  anchor?: { size: number; root: Uint8Array }
}> {
  return {
    verifiers: await readVerifiers(vkey),
    ...(origin === undefined ? {} : { origin }),
    ...(anchor === undefined ? {} : { anchor: parseAnchor(anchor) }),
  }
}

/** The log directory itself, or that of a bundle. */
function logDirectory(dir: string): string {
  if (!existsSync(dir)) {
    throw new ConfigError('there is no log', {
      where: dir,
      expected: 'a log directory, or a bundle that holds one',
      got: 'nothing',
    })
  }
  const inside = join(dir, 'log')
  return existsSync(inside) && statSync(inside).isDirectory() ? inside : dir
}

/** Adds the group to the tree. */
export function addAuditCommands(program: Command, dispatch: Dispatch): void {
  const group = addGroup(
    program,
    'audit',
    'Verify append-only logs and prove entries, offline',
    'audit verify bundles/2026-11-generate --vkey trusted-vkey',
  )

  addCommand<TrustOptions>(group, dispatch, {
    usage: 'verify <log>',
    summary: 'Verify a log directory, a bundle’s log, or a proof file',
    details: 'Needs no HSM and no network. Exit 5 when the evidence does not hold.',
    examples: [
      'audit verify bundles/2026-11-generate --vkey trusted-vkey',
      'audit verify entry-7.tlog-proof --vkey trusted-vkey',
    ],
    options: trustOptions,
    async run({ args: [path = ''], options, output }) {
      const { verifyLog, verifyProof } = await auditLibrary()
      const known = await trust(options)
      if (existsSync(path) && statSync(path).isFile()) {
        const proven = verifyProof(await readText(path, 'a proof'), known)
        output.document({ ok: true, evidence: 'crypto-verified', ...proven })
        output.text.print(`entry ${proven.index} is in the log`, { style: 'green' })
        printFields(output.text, [
          ['origin', proven.origin],
          ['size', String(proven.size)],
          ['signed by', proven.signedBy.join(', ')],
        ])
        output.text.verbatim(JSON.stringify(proven.entry))
        return undefined
      }
      const log = await verifyLog(logDirectory(path), known)
      const root = toHex(log.root)
      const { origin, size, signedBy, unsignedTail } = log
      output.document({
        ok: true,
        evidence: 'crypto-verified',
        origin,
        size,
        root,
        signedBy,
        unsignedTail,
      })
      output.text.print('the log holds together and its checkpoint is signed', { style: 'green' })
      printFields(output.text, [
        ['origin', origin],
        ['size', String(size)],
        ['root', root],
        ['signed by', signedBy.join(', ')],
        ['unsigned', `${unsignedTail} lines after the signed size`],
      ])
      return undefined
    },
  })

  addCommand<TrustOptions & { index: number; out?: string }>(group, dispatch, {
    usage: 'prove <log>',
    summary: 'Write a proof that the log holds an entry (C2SP tlog-proof)',
    examples: [
      'audit prove bundles/2026-11-generate --index 7 --vkey trusted-vkey --out entry-7.tlog-proof',
    ],
    options: (command) =>
      trustOptions(command)
        .requiredOption('--index <number>', 'entry, counted from 0', wholeNumber(0))
        .option('-o, --out <file>', 'where the proof goes; default: standard output'),
    async run({ args: [path = ''], options, output, io }) {
      const { proveEntry } = await auditLibrary()
      const { index, out } = options
      const proof = await proveEntry(logDirectory(path), index, await trust(options))
      output.document({ index, ...(out === undefined ? { proof } : { file: out }) })
      if (out !== undefined) {
        await writeNew(out, proof)
        output.text.print(`written: ${out}`)
      } else if (!output.json) io.stdout.write(proof)
      return undefined
    },
  })
}
