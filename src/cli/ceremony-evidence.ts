/** `keyrite ceremony sign | verify | report`: what is done with a bundle afterwards, without an HSM. */
import { resolve } from 'node:path'

import type { Command } from 'commander'

import { fromUtf8, toHex } from '../bytes.ts'
import type { Person, Verification, VerifyOptions } from '../ceremony/index.ts'
import { ConfigError } from '../errors.ts'
import { columnsOf } from '../plain-text.ts'
import { writeNew } from './ceremony-plan.ts'
import type { SshSigner } from '../quorum/index.ts'
import { type Dispatch, addCommand } from './command.ts'
import { errorDocument } from './error-text.ts'
import { EXIT } from './exit-code.ts'
import { ceremonyLibrary } from './libraries.ts'
import { type ModuleOptions, moduleOptions, openModule } from './module-option.ts'
import type { Output } from './output.ts'
import { signerFor } from './person-signer.ts'
import { personalQuestions, threeTimes } from './questions.ts'
import { readText } from './read-input.ts'
import { systemClock } from './system-ports.ts'

interface TrustOptions {
  readonly roster?: string
  readonly vkey?: string
  readonly previous?: string
  readonly rehearsal?: boolean
}

const trustOptions = (command: Command): Command =>
  command
    .option('--roster <file>', 'your own copy of allowed_signers')
    .option('--vkey <file>', 'your own copy of the log’s verifier key')
    .option('--previous <dir>', 'bundle of the ceremony before')
    .option('--rehearsal', 'expect a rehearsal; without it one is refused')

async function verifyOptions(options: TrustOptions): Promise<VerifyOptions> {
  const { roster, vkey, previous, rehearsal } = options
  return {
    mode: rehearsal === true ? 'rehearsal' : 'production',
    ...(roster === undefined ? {} : { roster: await readText(roster, 'a roster') }),
    ...(vkey === undefined ? {} : { vkey: await readText(vkey, 'a verifier key') }),
    ...(previous === undefined ? {} : { previous: resolve(previous) }),
  }
}

/** The machine's form of what was found; leaves out the transcript itself. */
function documentOf(dir: string, verification: Verification): object {
  const { ok, outcome, mode, findings, warnings, errors, signedBy, root } = verification
  return {
    ok,
    dir,
    outcome,
    mode: mode ?? null,
    root: toHex(root),
    signedBy,
    findings,
    warnings,
    errors: errors.map(errorDocument),
  }
}

function printLines(output: Output, lines: readonly string[], ok: boolean): void {
  lines.forEach((line, index) => {
    const verdict = index === lines.length - 1
    const style = verdict ? { style: ok ? ('green' as const) : ('red' as const) } : {}
    // Laid out for 80 columns already; only what is wider is wrapped.
    if (columnsOf(line) <= 80) output.text.verbatim(line, style)
    else output.text.print(line, { hang: 14, ...style })
  })
}

interface SignOptions extends ModuleOptions {
  readonly as: string
  readonly key?: string
  readonly agent?: string
  readonly pkcs11?: string
  readonly detached?: string
}

/** Which of the four ways to sign was named; exactly one. */
function boundSigner({ key, agent, pkcs11, detached }: SignOptions) {
  const ways = [
    ...(key === undefined ? [] : [{ file: resolve(key) }]),
    ...(agent === undefined ? [] : [{ agent: resolve(agent) }]),
    ...(pkcs11 === undefined ? [] : [{ pkcs11 }]),
    ...(detached === undefined ? [] : [{ detached: true as const }]),
  ]
  const [way] = ways
  if (way === undefined || ways.length > 1) {
    throw new ConfigError('say which key signs', {
      where: 'ceremony sign',
      expected: 'exactly one of --key, --agent, --pkcs11, --detached',
      got: ways.length === 0 ? 'none of them' : 'more than one',
    })
  }
  return way
}

/** Adds `sign`, `verify` and `report`. */
export function addEvidenceCommands(group: Command, dispatch: Dispatch): void {
  addCommand<SignOptions>(group, dispatch, {
    usage: 'sign <bundle>',
    summary: "Add your signature to a closed ceremony's transcript",
    details:
      'Verifies the bundle first, shows what you are about to sign, and asks for the exact phrase.',
    examples: [
      'ceremony sign bundles/2026-11-generate --as alice --key ~/.ssh/id_ed25519',
      "ceremony sign bundles/2026-11-generate --as bob --pkcs11 'pkcs11:token=bob;object=approval' --module /usr/lib/softhsm/libsofthsm2.so",
    ],
    options: (command) =>
      moduleOptions(command)
        .requiredOption('--as <person>', 'your id in the binding, e.g. alice')
        .option('--key <file>', 'private key file, or FIDO2 key file, for ssh-keygen')
        .option('--agent <file>', 'public key file of a key in your ssh-agent')
        .option('--pkcs11 <uri>', 'key on your own token')
        .option('--detached <dir>', 'put the text to sign there and wait for the signature'),
    async run({ args: [bundle = ''], options, output, io }) {
      const { attest, formatVerification, verify } = await ceremonyLibrary()
      const dir = resolve(bundle)
      const bound = boundSigner(options)
      const first = await verify(dir)
      const found = first.mode === 'rehearsal' ? await verify(dir, { mode: 'rehearsal' }) : first
      printLines({ ...output, text: output.side }, formatVerification(found), found.ok)
      const person = found.transcript?.open.people.find(({ id }) => id === options.as)
      if (person === undefined) {
        throw new ConfigError('nobody of this id took part', {
          where: '--as',
          expected: found.transcript?.open.people.map(({ id }) => id).join(', '),
          got: options.as,
        })
      }
      await using hsm = 'pkcs11' in bound ? await openModule(options, io) : undefined
      const questions = personalQuestions(output.side, io)
      const own = await signerFor(person, bound, {
        questions,
        hsm,
        detachedDir: resolve(options.detached ?? '.'),
        agentSocket: io.env['SSH_AUTH_SOCK'],
      })
      // `attest` verifies first; only what passed is put before the person.
      const signer: SshSigner = {
        principal: own.principal,
        async sign(namespace, message) {
          await confirmSigning(questions, person, fromUtf8(message))
          return own.sign(namespace, message)
        },
      }
      await attest({ dir, person: person.id, signer, at: new Date(systemClock.wallMs()) })
      output.document({ ok: true, dir, signedBy: person.id, root: toHex(found.root) })
      output.text.print(`${person.id} has signed the transcript`, { style: 'green' })
      return undefined
    },
  })

  addCommand<TrustOptions>(group, dispatch, {
    usage: 'verify <bundle>',
    summary: 'Check a bundle, requirement by requirement',
    details:
      'Needs no HSM and no network. A bundle cannot vouch for itself: give your own copies of roster and verifier key. Exit 5 when any requirement fails.',
    examples: [
      'ceremony verify bundles/2026-11-generate --roster my-allowed_signers --vkey my-vkey',
      'ceremony verify /tmp/rehearsal/generate-fpe-key --rehearsal --json',
    ],
    options: trustOptions,
    async run({ args: [bundle = ''], options, output }) {
      const { formatVerification, verify } = await ceremonyLibrary()
      const dir = resolve(bundle)
      const verification = await verify(dir, await verifyOptions(options))
      output.document(documentOf(dir, verification))
      printLines(output, formatVerification(verification), verification.ok)
      return verification.ok ? EXIT.ok : EXIT.verification
    },
  })

  addCommand<TrustOptions & { out?: string }>(group, dispatch, {
    usage: 'report <bundle>',
    summary: 'Verify a bundle and write the report as one HTML page',
    details: 'The page says what does not hold, too; the exit code is then 5.',
    examples: ['ceremony report bundles/2026-11-generate --out report.html'],
    options: (command) =>
      trustOptions(command).option('-o, --out <file>', 'where the page goes', 'report.html'),
    async run({ args: [bundle = ''], options, output }) {
      const { reportHtml, verify } = await ceremonyLibrary()
      const dir = resolve(bundle)
      const verification = await verify(dir, await verifyOptions(options))
      const file = resolve(options.out ?? 'report.html')
      await writeNew(file, reportHtml(verification))
      output.document({ ...documentOf(dir, verification), file })
      output.text.print(verification.ok ? 'the bundle verifies' : 'the bundle does NOT verify', {
        style: verification.ok ? 'green' : 'red',
      })
      output.text.verbatim(`written: ${file}`)
      return verification.ok ? EXIT.ok : EXIT.verification
    },
  })
}

/** The person sees the text they sign, and says, letter for letter, that they want to. */
async function confirmSigning(
  questions: ReturnType<typeof personalQuestions>,
  person: Person,
  body: string,
): Promise<void> {
  const phrase = `sign as ${person.id}`
  const { screen, keyboard } = questions
  screen.print()
  screen.print(`>> ${person.id} (${person.name}) is asked:`, { hang: 3, style: 'bold' })
  screen.print('   Does this transcript say what happened? Your signature says that it does.', {
    hang: 3,
  })
  for (const line of body.trimEnd().split('\n')) screen.verbatim(`   | ${line}`)
  await threeTimes(questions, person.id, phrase, async () => {
    screen.print(`   Type exactly:  ${phrase}`)
    screen.ask(`   ${person.id}>`)
    return (await keyboard.line()) === phrase
      ? { value: true }
      : { fault: 'that is not the phrase, letter for letter' }
  })
}
