/** The bundle directory: created once, written durably, read strictly. */
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

import { afterAll, describe, expect, it } from 'vitest'

import { utf8 } from '../../src/bytes.ts'
import {
  bundlePaths,
  createBundle,
  parseSums,
  readArtefact,
  readBundle,
  removeTemporaries,
  sumsOf,
  writeArtefact,
  writeFileDurable,
} from '../../src/ceremony/bundle.ts'
import { ConfigError, FormatError, PolicyError, StorageError } from '../../src/errors.ts'
import { scratch } from '../tokens.ts'

const root = scratch('bundle')
let number = 0
afterAll(() => {
  rmSync(root, { recursive: true, force: true })
})

async function fresh(): Promise<string> {
  const dir = join(root, `b${(number += 1)}`)
  await createBundle({ dir, plan: { b: 1, a: 'ä' }, binding: {}, policy: {}, roster: '# nobody\n' })
  return dir
}

describe('createBundle', () => {
  it('makes a private directory whose documents are canonical', async () => {
    const dir = await fresh()
    expect(statSync(dir).mode & 0o777).toBe(0o700)
    expect(readFileSync(join(dir, 'plan.json'), 'utf8')).toBe('{"a":"ä","b":1}')
    expect(statSync(join(dir, 'plan.json')).mode & 0o077).toBe(0)
    expect(readdirSync(dir).sort()).toEqual([
      'allowed_signers',
      'artefacts',
      'binding.json',
      'plan.json',
      'policy.json',
      'signatures',
    ])
  })

  it('refuses a directory that exists, and leaves it alone', async () => {
    const dir = await fresh()
    const again = createBundle({ dir, plan: {}, binding: {}, policy: {}, roster: '' })
    await expect(again).rejects.toMatchObject({
      code: 'OUTPUT_EXISTS',
      requirement: 'CER-OUTPUT-1',
    })
    expect(readFileSync(join(dir, 'plan.json'), 'utf8')).toContain('ä')
  })

  it('refuses a place it cannot write to', async () => {
    writeFileSync(join(root, 'file'), '')
    const dir = join(root, 'file', 'bundle')
    const made = createBundle({ dir, plan: {}, binding: {}, policy: {}, roster: '' })
    await expect(made).rejects.toThrow(StorageError)
  })
})

describe('writeFileDurable', () => {
  it('never replaces a file unless told to', async () => {
    const path = join(await fresh(), 'artefacts', 'blob')
    await writeFileDurable(path, utf8('one'))
    await expect(writeFileDurable(path, utf8('two'))).rejects.toThrow(PolicyError)
    expect(readFileSync(path, 'utf8')).toBe('one')
    await writeFileDurable(path, utf8('two'), { replace: true })
    expect(readFileSync(path, 'utf8')).toBe('two')
    expect(existsSync(`${path}.tmp`)).toBe(false)
  })

  it('leaves nothing behind when the disk is full', async () => {
    // /dev/full takes no byte; a link to it stands in for a full disk.
    const path = join(await fresh(), 'artefacts', 'blob')
    symlinkSync('/dev/full', `${path}.tmp`)
    await expect(writeFileDurable(path, utf8('one'))).rejects.toMatchObject({
      code: 'STORAGE',
      got: 'ENOSPC',
    })
    expect(existsSync(path)).toBe(false)
  })

  it('what a killed process left is removed, and only that', async () => {
    const dir = await fresh()
    mkdirSync(join(dir, 'artefacts', 'deep'))
    mkdirSync(join(dir, 'log'))
    for (const name of [
      'plan.json.tmp',
      'artefacts/deep/x.tmp',
      'log/checkpoint.tmp',
      'artefacts/kept',
    ]) {
      writeFileSync(join(dir, name), 'x')
    }
    await removeTemporaries(dir)
    expect(existsSync(join(dir, 'plan.json.tmp'))).toBe(false)
    expect(existsSync(join(dir, 'artefacts/deep/x.tmp'))).toBe(false)
    expect(existsSync(join(dir, 'log/checkpoint.tmp'))).toBe(true)
    expect(existsSync(join(dir, 'artefacts/kept'))).toBe(true)
  })
})

describe('artefacts', () => {
  it('are written below their folder and read back', async () => {
    const paths = bundlePaths(await fresh())
    await writeArtefact(paths, 'wrapped/a.json', utf8('{}'))
    expect(await readArtefact(paths, 'wrapped/a.json')).toBe('{}')
    await expect(writeArtefact(paths, 'wrapped/a.json', utf8('{}'))).rejects.toMatchObject({
      code: 'OUTPUT_EXISTS',
    })
    await expect(readArtefact(paths, 'wrapped/b.json')).rejects.toThrow(ConfigError)
  })

  it.each(['../plan.json', '/etc/passwd', 'a/../../b', '', '.hidden', '-n', 'a b', 'a\nb', 'a//b'])(
    'cannot be called %j',
    async (file) => {
      const paths = bundlePaths(await fresh())
      await expect(writeArtefact(paths, file, utf8('x'))).rejects.toThrow(FormatError)
      await expect(readArtefact(paths, file)).rejects.toThrow(FormatError)
    },
  )
})

describe('readBundle', () => {
  it('lists regular files in order and reads them', async () => {
    const dir = await fresh()
    await writeArtefact(bundlePaths(dir), 'x/y.json', utf8('{}'))
    const bundle = await readBundle(dir)
    expect(bundle.files.map(({ path }) => path)).toEqual([
      'allowed_signers',
      'artefacts/x/y.json',
      'binding.json',
      'plan.json',
      'policy.json',
    ])
    expect(await bundle.text('policy.json')).toBe('{}')
    await expect(bundle.read('report.html')).rejects.toThrow(FormatError)
  })

  it.each<[string, (dir: string) => void]>([
    ['a link to a file', (dir) => symlinkSync('plan.json', join(dir, 'report.html'))],
    ['a link to a folder', (dir) => symlinkSync('signatures', join(dir, 'log'))],
    ['a link inside a folder', (dir) => symlinkSync('/etc/passwd', join(dir, 'artefacts', 'x'))],
    ['an unknown name', (dir) => writeFileSync(join(dir, 'README'), '')],
    ['a folder where a file belongs', (dir) => mkdirSync(join(dir, 'report.html'))],
    ['a file where a folder belongs', (dir) => writeFileSync(join(dir, 'log'), '')],
    ['a hidden file', (dir) => writeFileSync(join(dir, 'artefacts', '.x'), '')],
    ['a name with a line feed', (dir) => writeFileSync(join(dir, 'artefacts', 'a\nb'), '')],
    ['a pipe', (dir) => execFileSync('mkfifo', [join(dir, 'artefacts', 'pipe')])],
    [
      'folders without end',
      (dir) => mkdirSync(join(dir, 'artefacts/a/b/c/d/e/f/g/h/i/j'), { recursive: true }),
    ],
    [
      'a file too large to be evidence',
      (dir) => execFileSync('truncate', ['-s', '300M', join(dir, 'artefacts', 'x')]),
    ],
  ])('refuses %s', async (_name, spoil) => {
    const dir = await fresh()
    spoil(dir)
    await expect(readBundle(dir)).rejects.toThrow(FormatError)
  })

  it('does not follow a link that appears after listing', async () => {
    const dir = await fresh()
    const bundle = await readBundle(dir)
    rmSync(join(dir, 'plan.json'))
    symlinkSync('/etc/passwd', join(dir, 'plan.json'))
    await expect(bundle.read('plan.json')).rejects.toMatchObject({ got: 'a symbolic link' })
  })
})

describe('SHA256SUMS', () => {
  it('is what sha256sum checks', async () => {
    const dir = await fresh()
    await writeArtefact(bundlePaths(dir), 'x/y.json', utf8('{}'))
    writeFileSync(join(dir, 'SHA256SUMS'), await sumsOf(await readBundle(dir)))
    execFileSync('sha256sum', ['--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: dir })
    expect([...parseSums(readFileSync(join(dir, 'SHA256SUMS'), 'utf8')).keys()]).toHaveLength(5)
    writeFileSync(join(dir, 'policy.json'), '{"a":1}')
    expect(() =>
      execFileSync('sha256sum', ['--check', '--status', 'SHA256SUMS'], { cwd: dir }),
    ).toThrow()
  })

  it.each([
    `${'a'.repeat(64)}  x`,
    `${'a'.repeat(63)}  x\n`,
    `${'a'.repeat(64)} *x\n`,
    `${'a'.repeat(64)}  x\n${'b'.repeat(64)}  x\n`,
    `\\${'a'.repeat(64)}  x\n`,
  ])('other forms are refused: %j', (text) => {
    expect(() => parseSums(text)).toThrow(FormatError)
  })

  it('a hard link is a file like any other', async () => {
    const dir = await fresh()
    linkSync(join(dir, 'plan.json'), join(dir, 'artefacts', 'same'))
    expect((await readBundle(dir)).has('artefacts/same')).toBe(true)
  })
})
