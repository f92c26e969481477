/** Output that is interrupted: killed anywhere it goes on, and nothing that is there is lost or mixed up. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, describe, expect, it } from 'vitest'

import { type InputIdentity, identifyInput } from '../../src/fpe/input-identity.ts'
import { type PartFile, type PartOptions, openPart } from '../../src/fpe/resume.ts'
import type { StreamProgress } from '../../src/fpe/stream.ts'
import { scratch } from '../tokens.ts'

const root = scratch('fpe-resume')
afterAll(() => rmSync(root, { recursive: true, force: true }))
let directories = 0
const fresh = (): string => {
  const dir = join(root, String((directories += 1)))
  mkdirSync(dir)
  return dir
}

const input: InputIdentity = { size: '9', modifiedNs: '1', device: '1', inode: '1', head: '' }
let nowMs = 0
const clock = { wallMs: () => nowMs, monotonicMs: () => nowMs }
const options = (dir: string, more: Partial<PartOptions> = {}): PartOptions => ({
  output: join(dir, 'out'),
  resume: false,
  replace: false,
  input,
  recipe: 'recipe',
  onError: 'stop',
  clock,
  ...more,
})
const at = (outputBytes: number, badRows = 0): StreamProgress => ({
  ...{
    rows: 1,
    badRows,
    values: 1,
    lines: 1,
    inputBytes: outputBytes,
    outputBytes,
    preambleBytes: 1,
  },
})
const write = (part: PartFile, text: string, total: number, rejects = '', badRows = 0) =>
  part.write(Buffer.from(text), Buffer.from(rejects), at(total, badRows))

/** A run that wrote `text` and was interrupted in good order. */
async function interrupted(dir: string, text: string, more: Partial<PartOptions> = {}) {
  await using part = await openPart(options(dir, more))
  await write(part, text, text.length)
  await part.checkpoint()
}

describe('a run that is not disturbed', () => {
  it('leaves the output alone, for its owner only', async () => {
    const dir = fresh()
    {
      await using part = await openPart(options(dir, { rejects: join(dir, 'bad') }))
      expect(part.progress).toBeUndefined()
      expect(readdirSync(dir).sort()).toEqual([
        'bad.part',
        'out.part',
        'out.part.json',
        'out.part.lock',
      ])
      for (const name of ['bad.part', 'out.part', 'out.part.json']) {
        expect(statSync(join(dir, name)).mode & 0o777).toBe(0o600)
      }
      await write(part, 'abc', 3, 'x\n', 1)
      await write(part, 'def', 6)
      expect(existsSync(join(dir, 'out'))).toBe(false)
      await part.publish()
    }
    expect(readdirSync(dir).sort()).toEqual(['bad', 'out'])
    expect(readFileSync(join(dir, 'out'), 'utf8')).toBe('abcdef')
    expect(readFileSync(join(dir, 'bad'), 'utf8')).toBe('x\n')
    expect(statSync(join(dir, 'out')).mode & 0o777).toBe(0o600)
  })

  it('needs a directory, and says that it does', async () => {
    const opened = openPart(options(join(fresh(), 'absent')))
    await expect(opened).rejects.toMatchObject({
      message: 'the output cannot be written',
      where: expect.stringMatching(/out$/) as string,
      got: 'ENOENT',
      hint: 'is there a directory of that name?',
    })
  })

  it('leaves nothing when it wrote nothing', async () => {
    const dir = fresh()
    await (await openPart(options(dir)))[Symbol.asyncDispose]()
    expect(readdirSync(dir)).toEqual([])
  })
})

describe('what is in the way', () => {
  it('finished files are kept, unless they may be replaced', async () => {
    const dir = fresh()
    writeFileSync(join(dir, 'out'), 'precious')
    await expect(openPart(options(dir))).rejects.toMatchObject({
      code: 'CONFIG',
      where: join(dir, 'out'),
    })
    await expect(openPart(options(dir, { resume: true }))).rejects.toMatchObject({ code: 'CONFIG' })
    expect(readdirSync(dir)).toEqual(['out'])
    {
      await using part = await openPart(options(dir, { replace: true }))
      await write(part, 'new', 3)
      expect(readFileSync(join(dir, 'out'), 'utf8')).toBe('precious')
      await part.publish()
    }
    expect(readFileSync(join(dir, 'out'), 'utf8')).toBe('new')
  })

  it('a file that appears meanwhile is kept, and so is the part', async () => {
    const dir = fresh()
    {
      await using part = await openPart(options(dir))
      await write(part, 'new', 3)
      writeFileSync(join(dir, 'out'), 'precious')
      await expect(part.publish()).rejects.toMatchObject({ code: 'CONFIG' })
    }
    expect(readFileSync(join(dir, 'out'), 'utf8')).toBe('precious')
    expect(readFileSync(join(dir, 'out.part'), 'utf8')).toBe('new')
  })

  it('the part of another run is resumed, replaced or refused', async () => {
    const dir = fresh()
    await interrupted(dir, 'abc')
    await expect(openPart(options(dir))).rejects.toMatchObject({
      code: 'CONFIG',
      where: join(dir, 'out.part'),
    })
    {
      await using part = await openPart(options(dir, { resume: true }))
      expect(part.progress).toEqual(at(3))
    }
    await using part = await openPart(options(dir, { replace: true }))
    expect(part.progress).toBeUndefined()
    expect(readFileSync(join(dir, 'out.part'), 'utf8')).toBe('')
  })

  it('a symbolic link is not followed', async () => {
    const dir = fresh()
    writeFileSync(join(dir, 'elsewhere'), 'precious')
    symlinkSync(join(dir, 'elsewhere'), join(dir, 'out.part'))
    await expect(openPart(options(dir, { resume: true }))).rejects.toMatchObject({ code: 'ELOOP' })
    expect(readFileSync(join(dir, 'elsewhere'), 'utf8')).toBe('precious')
  })

  it('two at once are refused', async () => {
    const dir = fresh()
    await using part = await openPart(options(dir))
    for (const more of [{}, { resume: true }, { replace: true }]) {
      await expect(openPart(options(dir, more))).rejects.toMatchObject({ code: 'LOCKED' })
    }
    await write(part, 'abc', 3)
    await part.publish()
    expect(readFileSync(join(dir, 'out'), 'utf8')).toBe('abc')
  })
})

describe('resuming', () => {
  it('cuts off what was written after the checkpoint', async () => {
    const dir = fresh()
    const rejects = join(dir, 'bad')
    {
      await using part = await openPart(options(dir, { rejects }))
      await write(part, 'abc', 3, '1\n', 1)
      await part.checkpoint()
      await write(part, 'lost', 7, '2\n', 2)
    }
    expect(readFileSync(join(dir, 'out.part'), 'utf8')).toBe('abclost')
    await using part = await openPart(options(dir, { rejects, resume: true }))
    expect(part.progress).toEqual(at(3, 1))
    await write(part, 'def', 6)
    await part.publish()
    expect(readFileSync(join(dir, 'out'), 'utf8')).toBe('abcdef')
    expect(readFileSync(rejects, 'utf8')).toBe('1\n')
  })

  it('begins where there is nothing, or nothing that counts', async () => {
    for (const leave of [[], ['out.part'], ['out.part', 'out.part.json.tmp']]) {
      const dir = fresh()
      for (const name of leave) writeFileSync(join(dir, name), 'torn')
      await using part = await openPart(options(dir, { resume: true }))
      expect(part.progress).toBeUndefined()
      expect(readFileSync(join(dir, 'out.part'), 'utf8')).toBe('')
    }
  })

  it('refuses another command, configuration or input', async () => {
    const dir = fresh()
    await interrupted(dir, 'abc')
    const wrong: Partial<PartOptions>[] = [
      { recipe: 'other' },
      ...(['size', 'modifiedNs', 'device', 'inode', 'head'] as const).map((field) => ({
        input: { ...input, [field]: 'other' },
      })),
    ]
    for (const more of wrong) {
      const refused = openPart(options(dir, { resume: true, ...more }))
      await expect(refused).rejects.toThrow('cannot be resumed')
    }
    expect(readFileSync(join(dir, 'out.part'), 'utf8')).toBe('abc')
  })

  it('refuses other keys once something was written under the first', async () => {
    const dir = fresh()
    {
      await using part = await openPart(options(dir))
      part.useKeys('first')
      part.useKeys('second')
      await write(part, 'abc', 3)
      await part.checkpoint()
    }
    await using part = await openPart(options(dir, { resume: true }))
    expect(() => part.useKeys('first')).toThrow('a key of the configuration is another one')
    part.useKeys('second')
    expect(part.progress).toEqual(at(3))
  })

  it('lets bad rows be treated in another way as long as there were none', async () => {
    const dir = fresh()
    await interrupted(dir, 'abc')
    const skip = { resume: true, onError: 'report', rejects: join(dir, 'bad') }
    {
      await using part = await openPart(options(dir, skip))
      await write(part, 'def', 6, 'x\n', 1)
      await part.checkpoint()
    }
    await expect(openPart(options(dir, { resume: true }))).rejects.toThrow('treated in another way')
    await using part = await openPart(options(dir, skip))
    expect(part.progress).toEqual(at(6, 1))
  })

  it('refuses a part that was cut, and a checkpoint that is none', async () => {
    const dir = fresh()
    await interrupted(dir, 'abc')
    truncateSync(join(dir, 'out.part'), 2)
    await expect(openPart(options(dir, { resume: true }))).rejects.toThrow('shorter')
    for (const text of ['', '{}', 'null', '{"kind":"other"}', '[']) {
      writeFileSync(join(dir, 'out.part.json'), text)
      await expect(openPart(options(dir, { resume: true }))).rejects.toThrow('not a checkpoint')
    }
  })

  it('has a checkpoint every so many bytes, and every ten seconds', async () => {
    const dir = fresh()
    const saved = (): number =>
      (
        JSON.parse(readFileSync(join(dir, 'out.part.json'), 'utf8')) as {
          progress: StreamProgress | null
        }
      ).progress?.outputBytes ?? 0
    await using part = await openPart(options(dir, { checkpointBytes: 100 }))
    await write(part, 'x'.repeat(99), 99)
    expect(saved()).toBe(0)
    await write(part, 'x', 100)
    expect(saved()).toBe(100)
    await write(part, 'x', 101)
    expect(saved()).toBe(100)
    nowMs += 10_000
    await write(part, 'x', 102)
    expect(saved()).toBe(102)
  })
})

describe('a run that is killed while files get their names', () => {
  const whole = async (dir: string) => {
    const rejects = join(dir, 'bad')
    {
      await using part = await openPart(options(dir, { rejects }))
      await write(part, 'abc', 3, 'x', 1)
      writeFileSync(join(dir, 'out'), 'in the way')
      // Stops after the report has its name.
      await expect(part.publish()).rejects.toMatchObject({ code: 'CONFIG' })
    }
    rmSync(join(dir, 'out'))
    expect(readdirSync(dir).sort()).toEqual(['bad', 'out.part', 'out.part.json'])
    return options(dir, { rejects, resume: true })
  }
  const finish = async (dir: string, resumed: PartOptions) => {
    {
      await using part = await openPart(resumed)
      expect(part.progress).toEqual(at(3, 1))
      await part.publish()
    }
    expect(readdirSync(dir).sort()).toEqual(['bad', 'out'])
    expect(readFileSync(join(dir, 'out'), 'utf8')).toBe('abc')
    expect(readFileSync(join(dir, 'bad'), 'utf8')).toBe('x')
  }

  it('ends it when resumed: after the first of them', async () => {
    const dir = fresh()
    await finish(dir, await whole(dir))
  })

  it('with two names for one file', async () => {
    const dir = fresh()
    const resumed = await whole(dir)
    linkSync(join(dir, 'out.part'), join(dir, 'out'))
    await finish(dir, resumed)
  })

  it('with all names given', async () => {
    const dir = fresh()
    const resumed = await whole(dir)
    renameSync(join(dir, 'out.part'), join(dir, 'out'))
    await finish(dir, resumed)
  })

  it('but never takes a file of somebody else for its own', async () => {
    const dir = fresh()
    const resumed = await whole(dir)
    writeFileSync(join(dir, 'out'), 'precious')
    await expect(openPart(resumed)).rejects.toMatchObject({
      code: 'CONFIG',
      where: join(dir, 'out'),
    })
  })
})

describe('the input', () => {
  it('is known by its file, size, time and first bytes; a short one is not digested', async () => {
    const dir = fresh()
    const path = join(dir, 'in')
    const identity = async () => {
      const file = await open(path)
      const found = await identifyInput(file)
      await file.close()
      return found
    }
    writeFileSync(path, '4111111111111111\n')
    expect((await identity()).head).toBe('')
    writeFileSync(path, Buffer.alloc(70_000, 'a'))
    const before = await identity()
    expect(before).toMatchObject({ size: '70000', head: expect.stringMatching(/^[0-9a-f]{64}$/) })
    appendFileSync(path, 'b')
    const after = await identity()
    expect(after.head).toBe(before.head)
    expect(after.size).toBe('70001')
  })
})

describe('a process that is killed', () => {
  it('at any moment: the result is that of an undisturbed run', { timeout: 120_000 }, async () => {
    const dir = fresh()
    const path = join(dir, 'in')
    const rows = Array.from({ length: 6000 }, (_, i) =>
      i % 97 === 5 ? `x${i},1` : `${i},"a\n${i}"`,
    )
    writeFileSync(path, `pan,note\n${rows.join('\n')}\n`)
    const program = join(import.meta.dirname, 'part-process.ts')
    execFileSync(process.execPath, [program, path, join(dir, 'whole')])
    const output = join(dir, 'out')
    const kills: number[] = []
    for (let round = 0; !existsSync(output); round += 1) {
      const child = spawn(process.execPath, [program, path, output], { stdio: 'inherit' })
      const exited = once(child, 'exit')
      const part = `${output}.part`
      // From a moment at which it is at work on.
      const before = existsSync(part) ? statSync(part).size : 0
      while (child.exitCode === null && (existsSync(part) ? statSync(part).size : 0) <= before) {
        await sleep(1)
      }
      await sleep((round * 7) % 23)
      child.kill('SIGKILL')
      await exited
      if (!existsSync(output)) kills.push(existsSync(part) ? statSync(part).size : 0)
      expect(round).toBeLessThan(200)
    }
    expect(kills.length).toBeGreaterThan(2)
    expect(readFileSync(output).equals(readFileSync(join(dir, 'whole')))).toBe(true)
    expect(readFileSync(`${output}.rejects`, 'utf8')).toBe(
      readFileSync(join(dir, 'whole.rejects'), 'utf8'),
    )
  })
})

describe('a disk that takes no more', () => {
  it('says so, keeps what counts, and goes on when there is room', async ({ skip }) => {
    const disk = fresh()
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk], { stdio: 'pipe' })
    } catch (error) {
      skip(`no right to mount a small tmpfs: ${(error as Error).message.split('\n')[0] ?? ''}`)
    }
    try {
      {
        await using part = await openPart(options(disk))
        await write(part, 'a'.repeat(4096), 4096)
        await part.checkpoint()
        const failed = write(part, 'b'.repeat(100_000), 104_096)
        await expect(failed).rejects.toMatchObject({ code: 'STORAGE', got: 'ENOSPC' })
      }
      execFileSync('mount', ['-o', 'remount,size=1m', disk])
      await using part = await openPart(options(disk, { resume: true }))
      expect(part.progress).toEqual(at(4096))
      await write(part, 'c', 4097)
      await part.publish()
      expect(readFileSync(join(disk, 'out'), 'utf8')).toBe(`${'a'.repeat(4096)}c`)
    } finally {
      execFileSync('umount', [disk])
    }
  })
})
