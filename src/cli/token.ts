/** `keyrite token`: the tokens of a module, and a person's own token. */
import type { Command } from 'commander'

import { wipe } from '../bytes.ts'
import { ConfigError, PolicyError } from '../errors.ts'
import type { Hsm, TokenInfo } from '../pkcs11/index.ts'
import { type Dispatch, addCommand, addGroup, wholeNumber } from './command.ts'
import { type ModuleOptions, moduleOptions, openModule } from './module-option.ts'
import { MIN_PIN_CHARS, askSecret, personalQuestions } from './questions.ts'
import { printFields, printTable } from './table.ts'

const tokenUri = ({ label, serial }: TokenInfo): string =>
  `pkcs11:token=${encodeURIComponent(label)};serial=${encodeURIComponent(serial)}`

const fields = (token: TokenInfo): [string, string][] => [
  ['label', token.label],
  ['serial', token.serial],
  ['manufacturer', token.manufacturerId],
  ['model', token.model],
  ['hardware', token.hardwareVersion],
  ['firmware', token.firmwareVersion],
  ['slot', String(token.slotId)],
  ['flags', token.flags.join(' ')],
]

/** The blank slot to initialise: the one asked for, or the first. */
async function blankSlot(hsm: Hsm, wanted: number | undefined): Promise<number> {
  const blank = await hsm.blankSlots()
  const [first] = blank
  const slot = wanted ?? first
  if (slot === undefined || !blank.includes(slot)) {
    throw new ConfigError('no blank token to initialise', {
      where: wanted === undefined ? hsm.info.path : `slot ${wanted}`,
      expected: 'a slot whose token is not initialised yet',
      got: blank.length === 0 ? 'none' : `blank slots: ${blank.join(', ')}`,
      hint: 'a token in use is never initialised again from here; keyrite ceremony does that under dual control',
    })
  }
  return slot
}

/** Adds the group to the tree. */
export function addTokenCommands(program: Command, dispatch: Dispatch): void {
  const group = addGroup(
    program,
    'token',
    'Tokens of a module; a custodian’s own token',
    'token list --module /usr/lib/softhsm/libsofthsm2.so',
  )

  addCommand<ModuleOptions>(group, dispatch, {
    usage: 'list',
    summary: 'List the initialised tokens of a module',
    examples: ['token list --module /usr/lib/softhsm/libsofthsm2.so'],
    options: moduleOptions,
    async run({ options, output, io }) {
      await using hsm = await openModule(options, io)
      const tokens = await hsm.tokens()
      output.document({
        evidence: 'module-reported',
        tokens: tokens.map((token) => ({ ...token, uri: tokenUri(token) })),
      })
      if (tokens.length === 0) output.text.print('no initialised token')
      else {
        const rows = tokens.map((token) => [token.label, token.serial, token.model])
        printTable(output.text, ['LABEL', 'SERIAL', 'MODEL'], rows)
      }
      return undefined
    },
  })

  addCommand<ModuleOptions>(group, dispatch, {
    usage: 'show <token-uri>',
    summary: 'Show what a module reports about one token',
    examples: ['token show pkcs11:token=vault --module /usr/lib/softhsm/libsofthsm2.so'],
    options: (command) => moduleOptions(command),
    async run({ args: [uri = ''], options, output, io }) {
      await using hsm = await openModule(options, io)
      await using token = await hsm.open(uri)
      const mechanisms = await hsm.mechanisms(uri)
      output.document({
        evidence: 'module-reported',
        ...token.info,
        uri: tokenUri(token.info),
        mechanisms,
      })
      output.text.verbatim(tokenUri(token.info))
      printFields(output.text, [
        ...fields(token.info),
        ['mechanisms', `${mechanisms.length}: ${mechanisms.join(' ')}`],
        ['evidence', 'module-reported'],
      ])
      return undefined
    },
  })

  addCommand<ModuleOptions & { label: string; slot?: number }>(group, dispatch, {
    usage: 'init',
    summary: 'Initialise a person’s own blank token; asks for both PINs',
    details:
      'For the token a custodian signs with. Tokens that hold production keys are initialised by a ceremony, whose PINs nobody knows alone.',
    examples: ['token init --label alice --module /usr/lib/softhsm/libsofthsm2.so'],
    options: (command) =>
      moduleOptions(command)
        .requiredOption('--label <label>', 'label of the token, at most 32 bytes')
        .option('--slot <id>', 'blank slot to use; default: the first', wholeNumber(0)),
    async run({ options, output, io }) {
      await using hsm = await openModule(options, io)
      const { label } = options
      if ((await hsm.tokens()).some((token) => token.label === label)) {
        throw new PolicyError('OUTPUT_EXISTS', 'CER-OUTPUT-1', 'a token with this label exists', {
          where: hsm.info.path,
          expected: 'a label that is free',
          got: label,
        })
      }
      const slotId = await blankSlot(hsm, options.slot)
      const questions = personalQuestions(output.side, io)
      const isNew = { leastChars: MIN_PIN_CHARS }
      const soPin = await askSecret(questions, { who: label, prompt: 'new SO PIN', isNew })
      let pin: Uint8Array | undefined
      try {
        pin = await askSecret(questions, { who: label, prompt: 'new user PIN', isNew })
        const token = await hsm.initToken({ slotId }, label, soPin)
        {
          await using officer = await hsm.login(tokenUri(token), { pin: soPin, user: 'so' })
          await officer.initPin(pin)
        }
        const now = (await hsm.tokens()).find(({ serial }) => serial === token.serial) ?? token
        output.document({ ...now, uri: tokenUri(now) })
        output.text.print(`token ${label} is initialised`, { style: 'green' })
        output.text.verbatim(tokenUri(now))
        printFields(output.text, fields(now))
      } finally {
        wipe(soPin, pin)
      }
      return undefined
    },
  })
}
