/** `keyrite custodian`: a person's own key and share, and the roster they stand on. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

import type { Command } from 'commander'

import { sha256, toHex, utf8, wipe } from '../bytes.ts'
import { PolicyError, QuorumError } from '../errors.ts'
import type { AllowedSigner, Commitments, Share } from '../quorum/index.ts'
import { readVerifiers } from './audit.ts'
import { printDigest } from './ceremony-plan.ts'
import { type Dispatch, type Invocation, addCommand, addGroup } from './command.ts'
import { EXIT } from './exit-code.ts'
import { auditLibrary, ceremonyLibrary, quorumLibrary } from './libraries.ts'
import { type ModuleOptions, moduleOptions, openModule } from './module-option.ts'
import { askSecret, personalQuestions } from './questions.ts'
import { readBytes, readText } from './read-input.ts'
import { printFields } from './table.ts'

const NAMESPACES = 'keyrite-approval,keyrite-checkpoint'

interface ShareOptions {
  readonly identity?: string
}

const identityOption = (command: Command): Command =>
  command.option('-i, --identity <file>', 'age identity file; default: ask for the passphrase')

/** Opens a share file with the passphrase typed here, or with an identity file. The caller wipes the share. */
async function openShareFile(
  { options, output, io }: Pick<Invocation<ShareOptions>, 'options' | 'output' | 'io'>,
  file: string,
): Promise<Share> {
  const { openShare } = await quorumLibrary()
  const bytes = await readBytes(file, 'a share file')
  const secret =
    options.identity === undefined
      ? await askSecret(personalQuestions(output.side, io), {
          who: 'the holder',
          prompt: 'passphrase of the share',
        })
      : await readBytes(options.identity, 'an age identity')
  try {
    const key = options.identity === undefined ? { passphrase: secret } : { identity: secret }
    return await openShare(bytes, key, file)
  } finally {
    wipe(secret)
  }
}

/** What may be said about a share: everything but its value and salt. */
function publicFacts(share: Share) {
  const { holder, tokenLabel, tokenSerial, pin, epoch, index, of, threshold } = share
  return { holder, tokenLabel, tokenSerial, pin, epoch, index, of, threshold }
}

const shareFields = (share: Share): [string, string][] => [
  ['holder', share.holder],
  ['token', `${share.tokenLabel}, serial ${share.tokenSerial}`],
  ['PIN', share.pin === 'so' ? 'security officer' : 'user'],
  ['epoch', String(share.epoch)],
  ['share', `${share.index} of ${share.of}, ${share.threshold} needed`],
]

/** The commitments a bundle's signed log holds for this share's split. */
async function commitmentsIn(bundle: string, vkey: string | undefined, share: Share) {
  const { verifyLog } = await auditLibrary()
  const { entrySchema } = await ceremonyLibrary()
  const verifiers = await readVerifiers(vkey ?? join(bundle, 'vkey'))
  const { entries } = await verifyLog(join(bundle, 'log'), { verifiers })
  const splits = entries.flatMap((line): Commitments[] => {
    const entry = entrySchema.parse(line)
    return entry.type === 'shares.committed' ? [entry.commitments] : []
  })
  const found = splits.findLast(
    ({ tokenSerial, pin, epoch }) =>
      tokenSerial === share.tokenSerial && pin === share.pin && epoch === share.epoch,
  )
  if (found === undefined) {
    throw new QuorumError('SHARE_WRONG_EPOCH', 'this bundle made no such split', {
      where: bundle,
      expected: `a split of the ${share.pin} PIN of ${share.tokenLabel}, epoch ${share.epoch}`,
      got:
        splits.map(({ tokenLabel, pin, epoch }) => `${tokenLabel} ${pin} ${epoch}`).join(', ') ||
        'none',
      hint: 'give the bundle of the ceremony that issued this share',
    })
  }
  return found
}

function addShareCommands(custodian: Command, dispatch: Dispatch): void {
  const group = addGroup(
    custodian,
    'share',
    'Look at a share file without showing its value',
    'custodian share show vault.user-pin.epoch-3.alice.age',
  )

  addCommand<ShareOptions>(group, dispatch, {
    usage: 'show <file>',
    summary: 'Say whose share a file holds, of which token and epoch; never the value',
    examples: [
      'custodian share show vault.user-pin.epoch-3.alice.age',
      'custodian share show vault.user-pin.epoch-3.bob.age --identity bob.key',
    ],
    options: identityOption,
    async run(invocation) {
      const { args, output } = invocation
      const file = args[0] ?? ''
      const share = await openShareFile(invocation, file)
      wipe(share.value, share.salt)
      output.document({ file, ...publicFacts(share) })
      printFields(output.text, shareFields(share))
      return undefined
    },
  })

  addCommand<ShareOptions & { bundle: string; vkey?: string }>(group, dispatch, {
    usage: 'verify <file>',
    summary: 'Check a share against the commitment in the ceremony that issued it',
    examples: [
      'custodian share verify vault.user-pin.epoch-3.alice.age --bundle bundles/2026-11-generate',
    ],
    options: (command) =>
      identityOption(command)
        .requiredOption('--bundle <dir>', 'bundle of the ceremony that issued the share')
        .option('--vkey <file>', "trusted verifier key of the log; default: the bundle's own"),
    async run(invocation) {
      const { args, options, output } = invocation
      const { checkShare } = await quorumLibrary()
      const file = args[0] ?? ''
      const share = await openShareFile(invocation, file)
      try {
        checkShare(share, await commitmentsIn(options.bundle, options.vkey, share))
      } finally {
        wipe(share.value, share.salt)
      }
      output.document({ ok: true, evidence: 'crypto-verified', file, ...publicFacts(share) })
      output.text.print('the share is the one that was issued', { style: 'green' })
      printFields(output.text, shareFields(share))
      return undefined
    },
  })
}

/** What a reader should know about a roster although it parses. */
function rosterFaults(roster: readonly AllowedSigner[]): string[] {
  const faults: string[] = []
  const owners = new Map<string, string>()
  for (const { line, principals, namespaces, key } of roster) {
    const other = owners.get(key.fingerprint)
    if (other !== undefined && other !== principals) {
      faults.push(`line ${line}: ${principals} and ${other} have the same key: one person twice`)
    }
    owners.set(key.fingerprint, principals)
    if (/[*?!,]/.test(principals)) {
      faults.push(`line ${line}: ${principals} is a pattern; a person is one principal`)
    }
    if (namespaces === undefined) {
      faults.push(
        `line ${line}: without namespaces="${NAMESPACES}" the key signs for other uses too`,
      )
    }
  }
  return faults
}

const day = (seconds: number | undefined): string =>
  seconds === undefined ? 'open' : new Date(seconds * 1000).toISOString().slice(0, 10)

/** Adds the group to the tree. */
export function addCustodianCommands(program: Command, dispatch: Dispatch): void {
  const group = addGroup(
    program,
    'custodian',
    "A custodian's own key and share, and the roster",
    'custodian roster check ceremonies/allowed_signers',
  )

  addCommand<ModuleOptions & { token: string; principal: string; label: string }>(group, dispatch, {
    usage: 'keygen',
    summary: 'Make an approval key on your own token; print its allowed_signers line',
    details: 'The private key is made in the token and cannot leave it.',
    examples: [
      'custodian keygen --token pkcs11:token=alice --principal alice@keyrite.example --module /usr/lib/softhsm/libsofthsm2.so',
    ],
    options: (command) =>
      moduleOptions(command)
        .requiredOption('-t, --token <uri>', 'your token, as an RFC 7512 URI')
        .requiredOption('--principal <name>', 'who you are in allowed_signers')
        .option('--label <label>', 'label of the key', 'approval'),
    async run({ options, output, io }) {
      const { sshPublicKey } = await quorumLibrary()
      const { label, principal } = options
      await using hsm = await openModule(options, io)
      // Fails before anybody types a PIN when there is no such token.
      await (await hsm.open(options.token))[Symbol.asyncDispose]()
      const pin = await askSecret(personalQuestions(output.side, io), {
        who: principal,
        prompt: 'user PIN of your token',
      })
      try {
        await using token = await hsm.login(options.token, { pin })
        if ((await token.find({ label })).length > 0) {
          throw new PolicyError('OUTPUT_EXISTS', 'CER-OUTPUT-1', 'the token has such a key', {
            where: options.token,
            expected: 'no key with this label',
            got: label,
            hint: 'give another --label',
          })
        }
        const id = new Uint8Array(randomBytes(16))
        const key = await token.generate({ role: 'approval', label, id })
        const publicKey = sshPublicKey(await key.signer())
        const line = `${principal} namespaces="${NAMESPACES}" ${publicKey}`
        output.document({ uri: key.uri, principal, publicKey, allowedSigners: line })
        output.side.print(`key ${label} made; its line for allowed_signers:`)
        // Not wrapped: this is to be copied into a file.
        if (!output.json) io.stdout.write(`${line}\n`)
      } finally {
        wipe(pin)
      }
      return undefined
    },
  })

  addShareCommands(group, dispatch)

  const roster = addGroup(
    group,
    'roster',
    'The allowed_signers file',
    'custodian roster check ceremonies/allowed_signers',
  )
  addCommand(roster, dispatch, {
    usage: 'check <file>',
    summary: 'Check an allowed_signers file and show its digest',
    details: 'Exit 1 when two principals share a key, or a key is not bound to the two namespaces.',
    examples: ['custodian roster check ceremonies/allowed_signers'],
    async run({ args: [file = ''], output }) {
      const { parseAllowedSigners } = await quorumLibrary()
      const text = await readText(file, 'a roster (allowed_signers)')
      const signers = parseAllowedSigners(text, file)
      const faults = rosterFaults(signers)
      const digest = sha256(utf8(text))
      output.document({
        ok: faults.length === 0,
        file,
        sha256: toHex(digest),
        signers: signers.map(({ line, principals, namespaces, validAfter, validBefore, key }) => ({
          line,
          principal: principals,
          type: key.type,
          fingerprint: key.fingerprint,
          namespaces: namespaces ?? null,
          validAfter: validAfter ?? null,
          validBefore: validBefore ?? null,
        })),
        faults,
      })
      for (const { principals, validAfter, validBefore, namespaces, key } of signers) {
        output.text.print(principals, { style: 'bold' })
        printFields(
          output.text,
          [
            ['key', `${key.type} ${key.fingerprint}`],
            ['valid', `${day(validAfter)} to ${day(validBefore)}`],
            ['for', namespaces ?? 'anything'],
          ],
          2,
        )
      }
      for (const fault of faults) output.text.print(`! ${fault}`, { hang: 2, style: 'red' })
      printDigest(output.text, 'roster', digest)
      return faults.length === 0 ? EXIT.ok : EXIT.refused
    },
  })
}
