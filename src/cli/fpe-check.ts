/** `keyrite fpe check`: whether a configuration of columns can be used, and what its keys allow. */
import type { FpeConfig } from '../fpe/index.ts'
import type { AttributeRecord, Kcv } from '../pkcs11/index.ts'
import type { BlockCipher } from '../ports.ts'
import type { Invocation } from './command.ts'
import { EXIT, type ExitCode } from './exit-code.ts'
import { type KeyOptions, type Keys, openKeys } from './fpe-keys.ts'
import { grouped } from './fpe-progress.ts'
import { warnOfMethods } from './fpe-run.ts'
import { fpeLibrary } from './libraries.ts'
import { readText } from './read-input.ts'
import { printTable } from './table.ts'

/** Options of the command. */
export interface CheckOptions extends KeyOptions {
  readonly config: string
}

/** One version of a key as the configuration names it. */
interface NamedVersion {
  readonly key: string
  readonly version: number
  readonly current: boolean
  readonly method: 'FF1' | 'FF3-1'
  readonly uri: string
}

/** What a token says about it. */
interface FoundKey extends NamedVersion {
  readonly kcv: Kcv | null
  /** Attributes that allow more than encryption of single blocks. */
  readonly loose: readonly string[]
}

const versionsOf = (config: FpeConfig): NamedVersion[] =>
  Object.entries(config.keys).flatMap(([key, { current, versions }]) =>
    Object.entries(versions).map(([version, { method = 'FF1', uri }]) => ({
      key,
      version: Number(version),
      current: Number(version) === current,
      method,
      uri,
    })),
  )

/**
 * What a key for this must not be able to do: whoever can use it in another mode, or take it out, can undo
 * the encryption without these formats. Attributes that a module does not report are not judged.
 */
const WANTED: readonly (readonly [attribute: string, value: boolean])[] = [
  ['ENCRYPT', true],
  ['SENSITIVE', true],
  ['DECRYPT', false],
  ['EXTRACTABLE', false],
  ['WRAP', false],
  ['UNWRAP', false],
  ['SIGN', false],
  ['DERIVE', false],
]

function looseAttributes(attributes: AttributeRecord): string[] {
  const loose = WANTED.flatMap(([name, wanted]) => {
    const value = attributes[name]
    return typeof value !== 'boolean' || value === wanted ? [] : [`CKA_${name}=${value}`]
  })
  const allowed = attributes['ALLOWED_MECHANISMS']
  const restricted = Array.isArray(allowed) && allowed.length > 0
  return restricted ? loose : [...loose, 'no CKA_ALLOWED_MECHANISMS']
}

/** Stands for a key where no module is asked: whether the configuration fits together needs no key. */
const absentKey = (reversedKey: boolean): BlockCipher => ({
  reversedKey,
  encryptBlocks: () => Promise.reject(new TypeError('no key was opened')),
})

async function examine(keys: Keys, version: NamedVersion): Promise<FoundKey> {
  const key = await keys.key(version.uri)
  const attributes = await key.attributes()
  // CMAC is another mode; a key that is only for single blocks has no such value.
  const kcv = await key.kcv().catch(() => null)
  return { ...version, kcv, loose: looseAttributes(attributes) }
}

/** Runs the command. */
export async function runCheck(invocation: Invocation<CheckOptions>): Promise<ExitCode> {
  const { options, output, io } = invocation
  const { openColumns, parseFpeConfig } = await fpeLibrary()
  const text = await readText(options.config, 'a configuration of columns')
  const config = parseFpeConfig(text, options.config)
  const versions = versionsOf(config)
  const withModule = (options.module ?? io.env['KEYRITE_MODULE'] ?? '') !== ''
  warnOfMethods(config, output.side)

  await using keys = withModule ? await openKeys(options, output.side, io) : undefined
  const found: FoundKey[] = []
  for (const version of versions) if (keys) found.push(await examine(keys, version))
  const legacy = new Set(versions.flatMap(({ method, uri }) => (method === 'FF3-1' ? [uri] : [])))
  const columns = await openColumns(config, async (uri) =>
    keys === undefined ? absentKey(legacy.has(uri)) : (await keys.key(uri)).blockCipher(),
  )

  const evidence = keys === undefined ? 'configuration only' : 'module-reported'
  output.document({
    evidence,
    columns: Array.from(columns.values(), (column) => ({
      name: column.name,
      currentVersion: column.currentVersion,
      domain: String(column.domain),
      describe: column.describe,
      versionColumn: column.versionColumn ?? null,
      rowTweakColumn: column.rowTweakColumn ?? null,
    })),
    keys: keys === undefined ? versions : found,
  })
  printTable(
    output.text,
    ['COLUMN', 'VALUES*', 'WHAT'],
    Array.from(columns.values(), ({ name, domain, describe }) => [
      name,
      domain < 10n ** 9n ? grouped(Number(domain)) : `10^${String(domain).length - 1}`,
      describe,
    ]),
  )
  output.text.print(
    '* possible at the encrypted positions of the shortest value. A value with fewer than 1,000,000, or than minDomain, is refused when it comes.',
    { hang: 2 },
  )
  output.text.print()
  printTable(
    output.text,
    ['KEY', 'VERSION', 'METHOD', 'ON THE TOKEN'],
    versions.map(({ key, version, current, method }, i) => {
      const seen = found[i]
      const state =
        seen === undefined
          ? 'not looked at: no module'
          : seen.loose.length === 0
            ? 'encrypts single blocks only'
            : `allows more than it should: ${seen.loose.join(', ')}`
      return [key, `${version}${current ? ' current' : ''}`, method, state]
    }),
  )
  output.text.print(`evidence: ${evidence}`)
  return found.some(({ loose }) => loose.length > 0) ? EXIT.refused : EXIT.ok
}
