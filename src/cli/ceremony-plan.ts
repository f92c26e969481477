/** `keyrite ceremony lint | print | rehearse`: what is done with a plan before it is run. */
import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'

import type { Command } from 'commander'

import { toHex } from '../bytes.ts'
import type { LintFinding, LoadedBinding, LoadedPlan, LoadedPolicy } from '../ceremony/index.ts'
import { errnoOf } from '../errno.ts'
import { PolicyError } from '../errors.ts'
import { toPgpWords } from '../pgp-words.ts'
import { type Dispatch, addCommand } from './command.ts'
import { expandDigest } from './digest-text.ts'
import { EXIT } from './exit-code.ts'
import { ceremonyLibrary } from './libraries.ts'
import { readText } from './read-input.ts'
import type { Screen } from './screen.ts'

interface PlanOptions {
  readonly binding?: string
  readonly policy?: string
}

/** A plan with what it is judged by. */
export interface Reviewed {
  readonly plan: LoadedPlan
  readonly binding: LoadedBinding | undefined
  readonly policy: LoadedPolicy | undefined
}

/** Reads a plan, and the binding and policy named beside it; the binding's own policy unless another is named. */
export async function readPlanFiles(file: string, options: PlanOptions): Promise<Reviewed> {
  const { loadBinding, loadPlan, loadPolicy } = await ceremonyLibrary()
  const plan = loadPlan(await readText(file, 'a ceremony plan'), file)
  const binding =
    options.binding === undefined
      ? undefined
      : loadBinding(await readText(options.binding, 'a binding'), options.binding)
  const policyFile = options.policy ?? binding?.resolved.policy.file
  const policy =
    policyFile === undefined
      ? undefined
      : loadPolicy(await readText(policyFile, 'a policy'), policyFile)
  return { plan, binding, policy }
}

/** A label and a digest, as hex and words. */
export function printDigest(screen: Screen, label: string, digest: Uint8Array): void {
  for (const line of expandDigest(`${label} ${toHex(digest)}`, toPgpWords)) screen.print(line)
}

function printFindings(screen: Screen, findings: readonly LintFinding[]): void {
  for (const { file, line, column, severity, rule, message, hint } of findings) {
    screen.print(`${file}:${line}:${column}: ${severity} ${rule}`, {
      style: severity === 'error' ? 'red' : 'yellow',
    })
    screen.print(`  ${message}`, { hang: 2 })
    screen.print(`  hint: ${hint}`, { hang: 8 })
  }
}

const planOptions = (command: Command): Command =>
  command
    .option('-b, --binding <file>', 'binding of the site')
    .option('-p, --policy <file>', "policy; default: the binding's")

/** Adds `lint` and `print`. */
export function addPlanCommands(group: Command, dispatch: Dispatch): void {
  addCommand<PlanOptions>(group, dispatch, {
    usage: 'lint <plan>',
    summary: 'Check a plan against the rules, with line numbers',
    details: 'Exit 0 when no rule of severity `error` is broken, 1 when one is.',
    examples: [
      'ceremony lint ceremonies/generate-fpe-key.yaml',
      'ceremony lint plan.yaml --binding site.yaml --json',
    ],
    options: planOptions,
    async run({ args: [file = ''], options, output }) {
      const ceremony = await ceremonyLibrary()
      const { plan, binding, policy } = await readPlanFiles(file, options)
      const findings = ceremony.lint(plan.plan, plan.source, {
        binding: binding?.binding,
        bindingSource: binding?.source,
        policy: policy?.policy,
      })
      const errors = findings.filter(({ severity }) => severity === 'error').length
      output.document({
        file,
        planSha256: toHex(plan.digest),
        ok: errors === 0,
        errors,
        warnings: findings.length - errors,
        findings,
      })
      printFindings(output.text, findings)
      printDigest(output.text, 'plan', plan.digest)
      output.text.print(`${file}: ${errors} errors, ${findings.length - errors} warnings`, {
        style: errors === 0 ? 'green' : 'red',
      })
      return errors === 0 ? EXIT.ok : EXIT.refused
    },
  })

  addCommand<PlanOptions & { out: string }>(group, dispatch, {
    usage: 'print <plan>',
    summary: "Write the room's paper script as HTML and PDF",
    examples: ['ceremony print ceremonies/generate-fpe-key.yaml --binding site.yaml --out paper'],
    options: (command) =>
      planOptions(command).option('-o, --out <dir>', 'where the two files go', '.'),
    async run({ args: [file = ''], options, output }) {
      const { printScript } = await ceremonyLibrary()
      const { plan, binding } = await readPlanFiles(file, options)
      const script = await printScript(plan.plan, { digest: plan.digest, binding })
      const base = join(resolve(options.out), basename(file).replace(/\.ya?ml$/, ''))
      const files = { html: `${base}.html`, pdf: `${base}.pdf` }
      await mkdir(resolve(options.out), { recursive: true })
      await writeNew(files.html, script.html)
      await writeNew(files.pdf, script.pdf)
      output.document({ planSha256: toHex(plan.digest), files })
      printDigest(output.text, 'plan', plan.digest)
      output.text.print(`written: ${files.html}`)
      output.text.print(`written: ${files.pdf}`)
      return undefined
    },
  })
}

/** Writes a file that must not exist yet; `mode` as of chmod. Throws PolicyError OUTPUT_EXISTS. */
export async function writeNew(
  file: string,
  content: string | Uint8Array,
  mode = 0o666,
): Promise<void> {
  try {
    await writeFile(file, content, { flag: 'wx', mode })
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') {
      throw new PolicyError('OUTPUT_EXISTS', 'CER-OUTPUT-1', 'output exists and is not replaced', {
        where: file,
        expected: 'a path that is free',
        got: 'a file',
        hint: 'name another place with --out, or move the old file away',
      })
    }
    throw error
  }
}
