/** `keyrite key`: what is on a token, as the module reports it. */
import type { Command } from 'commander'

import { wipe } from '../bytes.ts'
import type { AttributeRecord, Key, Token } from '../pkcs11/index.ts'
import { type Dispatch, type Invocation, addCommand, addGroup } from './command.ts'
import { type ModuleOptions, moduleOptions, openModule } from './module-option.ts'
import { askSecret, personalQuestions } from './questions.ts'
import { printFields, printTable } from './table.ts'

interface TokenOptions extends ModuleOptions {
  readonly token: string
  readonly public?: boolean
}

const tokenOptions = (command: Command): Command =>
  moduleOptions(command)
    .requiredOption('-t, --token <uri>', 'the token, as an RFC 7512 URI')
    .option('--public', 'do not log in; private objects stay invisible')

/** Runs `use` on the token, logged in as the user unless `--public`. */
async function withToken(
  { options, output, io }: Invocation<TokenOptions>,
  use: (token: Token) => Promise<void>,
): Promise<void> {
  await using hsm = await openModule(options, io)
  if (options.public === true) {
    await using token = await hsm.open(options.token)
    await use(token)
    return
  }
  // Fails here, before anybody types a PIN, when there is no such token.
  await (await hsm.open(options.token))[Symbol.asyncDispose]()
  const pin = await askSecret(personalQuestions(output.side, io), {
    who: options.token,
    prompt: 'user PIN of the token',
  })
  try {
    await using token = await hsm.login(options.token, { pin })
    await use(token)
  } finally {
    wipe(pin)
  }
}

/** The attributes people ask about first, and their column heads. */
const COLUMNS = [
  ['SENS', 'SENSITIVE'],
  ['EXTR', 'EXTRACTABLE'],
  ['NEVX', 'NEVER_EXTRACTABLE'],
] as const

const yesNo = (attributes: AttributeRecord, name: string): string =>
  attributes[name] === undefined ? '-' : attributes[name] === true ? 'yes' : 'no'

const value = (item: unknown): string =>
  Array.isArray(item) ? item.join(' ') || '(none)' : String(item)

/** A KCV, or why the key has none. */
async function kcvOf(key: Key): Promise<{ method: string; value: string } | undefined> {
  // A public object seen without login cannot always be used; that is not a fault of the listing.
  return key.kcv().catch(() => undefined)
}

/** Adds the group to the tree. */
export function addKeyCommands(program: Command, dispatch: Dispatch): void {
  const group = addGroup(
    program,
    'key',
    'Keys on a token, as the module reports them',
    'key list --module /usr/lib/softhsm/libsofthsm2.so --token pkcs11:token=alice',
  )

  addCommand<TokenOptions>(group, dispatch, {
    usage: 'list',
    summary: 'List every visible object of a token',
    details: 'Asks for the user PIN on the terminal; with --public it does not log in.',
    examples: ['key list --module /usr/lib/softhsm/libsofthsm2.so --token pkcs11:token=alice'],
    options: tokenOptions,
    async run(invocation) {
      const { output } = invocation
      await withToken(invocation, async (token) => {
        const objects = await token.inventory()
        output.document({ evidence: 'module-reported', token: token.info, objects })
        if (objects.length === 0) output.text.print('no visible object')
        else {
          const rows = objects.map(({ class: kind, label, id, attributes }) => [
            kind,
            label,
            ...COLUMNS.map(([, name]) => yesNo(attributes, name)),
            id,
          ])
          const heads = COLUMNS.map(([head]) => head)
          printTable(output.text, ['CLASS', 'LABEL', ...heads, 'ID'], rows)
        }
        output.text.print(`${objects.length} objects; evidence: module-reported`)
      })
      return undefined
    },
  })

  addCommand<TokenOptions>(group, dispatch, {
    usage: 'show <key-uri>',
    summary: 'Show a key’s check value and attributes',
    examples: [
      "key show 'pkcs11:object=approval;type=private' --token pkcs11:token=alice --module /usr/lib/softhsm/libsofthsm2.so",
    ],
    options: tokenOptions,
    async run(invocation) {
      const { args, output } = invocation
      await withToken(invocation, async (token) => {
        const key = await token.key(args[0] ?? '')
        const [attributes, kcv] = [await key.attributes(), await kcvOf(key)]
        const { label, id, keyType, uri } = key
        output.document({
          uri,
          label,
          id,
          class: key.class,
          keyType,
          kcv: kcv === undefined ? null : { ...kcv, evidence: 'crypto-verified' },
          attributes: { evidence: 'module-reported', values: attributes },
        })
        output.text.verbatim(uri)
        printFields(output.text, [
          ['class', `${key.class} ${keyType}`],
          ['ID', id],
          ['KCV', kcv === undefined ? 'not available' : `${kcv.value} (${kcv.method})`],
        ])
        output.text.print()
        const rows = Object.entries(attributes)
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, item]) => [name, 'module-reported', value(item)])
        printTable(output.text, ['ATTRIBUTE', 'EVIDENCE', 'VALUE'], rows)
      })
      return undefined
    },
  })
}
