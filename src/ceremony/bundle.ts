/**
 * The bundle directory: everything a ceremony leaves behind for whoever checks it later.
 * Reading is strict: no symbolic links, no special files, known names only, bounded sizes.
 * Writing is durable before it returns: temporary file, fsync, rename or link, fsync of the directory.
 */
import { constants } from 'node:fs'
import { link, lstat, mkdir, open, readdir, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { fromUtf8, sha256, toHex, utf8 } from '../bytes.ts'
import { canonicalJson } from '../canonical.ts'
import { errnoOf } from '../errno.ts'
import { ConfigError, FormatError, PolicyError, StorageError } from '../errors.ts'
import type { Json } from '../types.ts'

/** Names inside a bundle. `plan`, `binding` and `policy` are canonical JSON without a final newline, so their `sha256sum` is the digest people read aloud. */
export const BUNDLE = {
  plan: 'plan.json',
  binding: 'binding.json',
  policy: 'policy.json',
  roster: 'allowed_signers',
  log: 'log',
  /** Signed note: copy of `log/checkpoint`. */
  checkpoint: 'checkpoint',
  /** What people sign: origin, size and root of the whole transcript. */
  body: 'checkpoint.txt',
  /** Raw HSM signature over {@link BUNDLE.body}. */
  signature: 'checkpoint.sig',
  /** SubjectPublicKeyInfo of the log signer, PEM. */
  hsmKey: 'hsm.pub',
  /** The same key as a C2SP verifier key. */
  vkey: 'vkey',
  signatures: 'signatures',
  artefacts: 'artefacts',
  script: 'script.pdf',
  report: 'report.html',
  guide: 'VERIFY.md',
  program: 'verify.go',
  sums: 'SHA256SUMS',
} as const

/** Absolute paths of one bundle. */
export type BundlePaths = Readonly<Record<keyof typeof BUNDLE | 'dir', string>>

/** Where everything of a bundle is, or will be. */
export function bundlePaths(dir: string): BundlePaths {
  const names = Object.entries(BUNDLE).map(([key, name]) => [key, join(dir, name)] as const)
  return { dir, ...(Object.fromEntries(names) as Record<keyof typeof BUNDLE, string>) }
}

/** Limits of what {@link readBundle} accepts. */
const MAX_FILES = 10_000
const MAX_DEPTH = 8
const MAX_FILE_BYTES = 256 * 1024 * 1024
const FOLDERS: readonly string[] = [BUNDLE.log, BUNDLE.signatures, BUNDLE.artefacts]
const NAMES: readonly string[] = Object.values(BUNDLE)
/** Portable and never escaped by coreutils, so that SHA256SUMS stays one line per file. */
const SEGMENT = /^[A-Za-z0-9_][A-Za-z0-9._@-]{0,127}$/
const TEMPORARY = '.tmp'

/** One file of a bundle. */
export interface BundleFile {
  /** Relative, `/`-separated. */
  readonly path: string
  readonly bytes: number
}

/** A bundle that was found well-formed. Contents are read on demand. */
export interface Bundle {
  readonly dir: string
  /** Sorted by path, byte order. */
  readonly files: readonly BundleFile[]
  has(path: string): boolean
  /** Throws FormatError when the file is missing, grew beyond its limit or is a link by now. */
  read(path: string): Promise<Uint8Array>
  text(path: string): Promise<string>
}

const storage = (what: string, where: string, cause: unknown): StorageError =>
  new StorageError('STORAGE', what, { where, cause, got: errnoOf(cause) })

/** Media without hard links (FAT) answer link(2) with one of these. */
const NO_HARD_LINKS: ReadonlySet<string | undefined> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
])

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Puts a finished temporary file in place without ever replacing one. */
async function publish(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path)
  } catch (error) {
    if (!NO_HARD_LINKS.has(errnoOf(error))) throw error
    // The log's lock makes us the only writer, so look, then rename.
    const there = await lstat(path).catch(() => undefined)
    if (there !== undefined) throw Object.assign(new Error('exists'), { code: 'EEXIST' })
    await rename(temporary, path)
    return
  }
  await unlink(temporary)
}

/**
 * Writes a file so that after a crash it is there whole or not at all. Without `replace` an existing file
 * is left alone. Throws PolicyError OUTPUT_EXISTS or StorageError.
 */
export async function writeFileDurable(
  path: string,
  content: Uint8Array,
  { replace = false }: { readonly replace?: boolean } = {},
): Promise<void> {
  const temporary = `${path}${TEMPORARY}`
  try {
    const handle = await open(temporary, 'w', 0o600)
    try {
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    if (replace) await rename(temporary, path)
    else await publish(temporary, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    await unlink(temporary).catch(() => undefined)
    if (errnoOf(error) === 'EEXIST') {
      throw new PolicyError('OUTPUT_EXISTS', 'CER-OUTPUT-1', 'output exists and is not replaced', {
        where: path,
        hint: 'name another output, or move the old one away',
      })
    }
    throw storage('file could not be written durably', path, error)
  }
}

/** The documents a ceremony starts from. */
export interface BundleInputs {
  readonly dir: string
  /** Normalised plan, binding and policy. */
  readonly plan: Json
  readonly binding: Json
  readonly policy: Json
  /** Text of `allowed_signers`. */
  readonly roster: string
}

/**
 * Makes a new bundle directory (mode 0700) with the ceremony's inputs; the log folder is left to the log.
 * Throws PolicyError OUTPUT_EXISTS when the directory exists, StorageError when the disk refuses.
 */
export async function createBundle(inputs: BundleInputs): Promise<void> {
  const { dir } = inputs
  await mkdir(dirname(dir), { recursive: true }).catch((error: unknown) => {
    throw storage('folder of the bundle could not be made', dirname(dir), error)
  })
  try {
    await mkdir(dir, { mode: 0o700 })
    for (const folder of [BUNDLE.signatures, BUNDLE.artefacts]) {
      await mkdir(join(dir, folder), { mode: 0o700 })
    }
    await syncDirectory(dirname(dir))
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') {
      throw new PolicyError('OUTPUT_EXISTS', 'CER-OUTPUT-1', 'bundle directory exists', {
        where: dir,
        hint: 'a ceremony never writes into an old bundle; give a new --out, or resume this one',
      })
    }
    throw storage('bundle directory could not be made', dir, error)
  }
  const write = (name: string, text: string): Promise<void> =>
    writeFileDurable(join(dir, name), utf8(text))
  await write(BUNDLE.plan, canonicalJson(inputs.plan))
  await write(BUNDLE.binding, canonicalJson(inputs.binding))
  await write(BUNDLE.policy, canonicalJson(inputs.policy))
  await write(BUNDLE.roster, inputs.roster)
}

const refuse = (where: string, got: string): never => {
  throw new FormatError('not a bundle', {
    where,
    got,
    expected: 'regular files under the names of a keyrite bundle',
  })
}

async function walk(
  dir: string,
  prefix: string,
  depth: number,
  files: BundleFile[],
): Promise<void> {
  if (depth > MAX_DEPTH) refuse(prefix, `more than ${MAX_DEPTH} levels of folders`)
  for (const item of await readdir(join(dir, prefix), { withFileTypes: true })) {
    const path = prefix === '' ? item.name : `${prefix}/${item.name}`
    if (!SEGMENT.test(item.name)) refuse(JSON.stringify(path), 'a name outside [A-Za-z0-9._@-]')
    if (item.isSymbolicLink()) refuse(path, 'a symbolic link')
    if (item.name.endsWith(TEMPORARY)) {
      refuse(path, 'a temporary file: a ceremony is running, or waits for resume or abort')
    }
    if (prefix === '' && !NAMES.includes(item.name)) refuse(path, 'an unknown name')
    if (item.isDirectory()) {
      if (prefix === '' && !FOLDERS.includes(item.name)) refuse(path, 'a folder')
      await walk(dir, path, depth + 1, files)
      continue
    }
    if (!item.isFile() || (prefix === '' && FOLDERS.includes(item.name))) {
      refuse(path, 'not a regular file')
    }
    const { size } = await lstat(join(dir, path))
    if (size > MAX_FILE_BYTES) refuse(path, `${size} bytes`)
    files.push({ path, bytes: size })
    if (files.length > MAX_FILES) refuse(prefix, `more than ${MAX_FILES} files`)
  }
}

async function readRegular(path: string, name: string): Promise<Uint8Array> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const handle = await open(path, flags).catch((error: unknown) => {
    return refuse(name, errnoOf(error) === 'ELOOP' ? 'a symbolic link' : 'missing or unreadable')
  })
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) refuse(name, 'not a regular file')
    if (stat.size > MAX_FILE_BYTES) refuse(name, `${stat.size} bytes`)
    return new Uint8Array(await handle.readFile())
  } finally {
    await handle.close()
  }
}

/** Opens a bundle for reading. Throws ConfigError when there is no such directory, FormatError when it holds anything a bundle may not. */
export async function readBundle(dir: string): Promise<Bundle> {
  const root = await lstat(dir).catch(() => undefined)
  if (root?.isDirectory() !== true) {
    throw new ConfigError('no bundle directory', {
      where: dir,
      expected: 'a directory written by keyrite ceremony run or rehearse',
      got: root === undefined ? 'nothing there' : 'not a directory',
    })
  }
  const files: BundleFile[] = []
  await walk(dir, '', 0, files)
  files.sort((a, b) => (a.path < b.path ? -1 : 1))
  const names = new Set(files.map((file) => file.path))
  const read = async (path: string): Promise<Uint8Array> =>
    names.has(path) ? readRegular(join(dir, path), path) : refuse(path, 'missing')
  return {
    dir,
    files,
    has: (path) => names.has(path),
    read,
    text: async (path) => fromUtf8(await read(path), path),
  }
}

/** Deletes temporary files a killed process left; only names {@link writeFileDurable} makes, outside the log. */
export async function removeTemporaries(dir: string, prefix = ''): Promise<void> {
  for (const item of await readdir(join(dir, prefix), { withFileTypes: true })) {
    const path = prefix === '' ? item.name : `${prefix}/${item.name}`
    if (item.isFile() && item.name.endsWith(TEMPORARY)) await unlink(join(dir, path))
    if (item.isDirectory() && path !== BUNDLE.log) await removeTemporaries(dir, path)
  }
}

/**
 * Whether an output of this name can lie in a bundle: plain names joined by `/`, none that could leave the
 * folder, none that looks like a temporary file, which is deleted when a bundle is finished.
 */
export function isOutputName(file: string): boolean {
  const segments = file.split('/')
  return (
    segments.length <= MAX_DEPTH - 2 &&
    segments.every((segment) => SEGMENT.test(segment) && !segment.endsWith(TEMPORARY))
  )
}

/** Where an output lies; refuses names that could leave the folder. */
function artefactPath(paths: BundlePaths, file: string): string {
  if (!isOutputName(file)) {
    throw new FormatError('output cannot be a file of a bundle', {
      where: JSON.stringify(file),
      expected: 'names of [A-Za-z0-9._@-] that start with a letter or digit, joined by /',
    })
  }
  return join(paths.artefacts, file)
}

/**
 * Writes an output of the plan, durable, never over another one. Throws PolicyError OUTPUT_EXISTS,
 * FormatError for an unusable name, StorageError.
 */
export async function writeArtefact(
  paths: BundlePaths,
  file: string,
  content: Uint8Array,
): Promise<void> {
  const path = artefactPath(paths, file)
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await syncDirectory(paths.artefacts)
  } catch (error) {
    throw storage('folder could not be made', dirname(path), error)
  }
  await writeFileDurable(path, content)
}

/** Text of an output. Throws ConfigError when it was not written, FormatError when it is not readable text. */
export async function readArtefact(paths: BundlePaths, file: string): Promise<string> {
  const path = artefactPath(paths, file)
  if ((await lstat(path).catch(() => undefined)) === undefined) {
    throw new ConfigError('output was not written', { where: path })
  }
  return fromUtf8(await readRegular(path, file), file)
}

/** SHA256SUMS text (coreutils format) over every file but itself. */
export async function sumsOf(bundle: Bundle): Promise<string> {
  const lines: string[] = []
  for (const { path } of bundle.files) {
    if (path !== BUNDLE.sums) lines.push(`${toHex(sha256(await bundle.read(path)))}  ${path}\n`)
  }
  return lines.join('')
}

/** Parses SHA256SUMS; throws FormatError on anything but `hex, two spaces, path` lines, sorted, none twice. */
export function parseSums(text: string): Map<string, string> {
  const sums = new Map<string, string>()
  const lines = text.split('\n')
  if (lines.pop() !== '') refuse(BUNDLE.sums, 'no newline at the end')
  lines.forEach((line, index) => {
    const [, hex = '', path = ''] = /^([0-9a-f]{64}) {2}(\S+)$/.exec(line) ?? []
    if (hex === '' || sums.has(path)) refuse(`${BUNDLE.sums}:${index + 1}`, 'a malformed line')
    sums.set(path, hex)
  })
  return sums
}

/** File name of a person's signature. */
export const signaturePath = (person: string): string => `${BUNDLE.signatures}/${person}.sshsig`

/** Person whose signature a path holds, if it is one. */
export const signaturePerson = (path: string): string | undefined =>
  dirname(path) === BUNDLE.signatures && path.endsWith('.sshsig')
    ? basename(path, '.sshsig')
    : undefined
