/** `keyrite fpe` on real tokens: files, pipes, versions, bad rows, interruptions. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type FpeSite, PAN, cardNumber, customers, fpeSite } from './fpe-site.ts'
import { keyrite, openTerminal, personalEnv, plainText } from './terminal.ts'

let site: FpeSite
beforeAll(async () => {
  site = await fpeSite()
})
afterAll(() => {
  site.stop()
  rmSync(site.dir, { recursive: true, force: true })
  site.softhsm.cleanup()
})

const read = (name: string): string => readFileSync(site.at(name), 'utf8')
let files = 0
/** A file with this content and an output name that is free. */
function file(content: string, extension = 'csv'): { input: string; out: string } {
  files += 1
  writeFileSync(site.at(`in-${files}.${extension}`), content)
  return { input: `in-${files}.${extension}`, out: `out-${files}.${extension}` }
}
/** Runs and expects success. */
async function good(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await site.run(args)
  expect(code, stderr).toBe(0)
  return stdout
}

describe('files', () => {
  it('come back byte for byte; the output is its owner\u2019s and nothing else is left', async () => {
    const config = site.config(1, PAN)
    const { input, out } = file(customers(5000))
    const summary = JSON.parse(
      await good('encrypt', '-c', config, '--in', input, '--out', out, '--json'),
    ) as object
    expect(summary).toMatchObject({ command: 'fpe encrypt', rows: 5000, values: 5000, badRows: 0 })
    const [header, first = ''] = read(out).split('\r\n')
    expect(header).toBe('id,pan,name,v')
    expect(first).toMatch(/^0,\d{16},"Customer, No. 0",1$/)
    expect(first).not.toContain(cardNumber(0))
    expect(statSync(site.at(out)).mode & 0o777).toBe(0o600)
    await good('decrypt', '-c', config, '--in', out, '--out', `${out}.back.csv`)
    expect(read(`${out}.back.csv`)).toBe(read(input))
    expect(readdirSync(site.dir).filter((name) => name.includes('.part'))).toEqual([])
  })

  it('JSON Lines by path, plain lines by version', async () => {
    const columns = {
      'card.pan': { key: 'cards', format: { type: 'pan' }, versionColumn: 'card.v' },
    }
    const config = site.config(2, columns)
    const json = file(`{"card":{"pan":"${cardNumber(7)}"},"n":1.0}\n`, 'jsonl')
    await good('encrypt', '-c', config, '--in', json.input, '--out', json.out)
    expect(read(json.out)).toMatch(/^\{"card":\{"pan":"\d{16}","v":2\},"n":1\.0\}\n$/)
    await good('decrypt', '-c', config, '--in', json.out, '--out', `${json.out}.back.jsonl`)
    expect(read(`${json.out}.back.jsonl`)).toBe(read(json.input))

    const lines = file(`${cardNumber(1)}\n${cardNumber(2)}`, 'txt')
    const pan = site.config(2, PAN)
    await good('encrypt', '-c', pan, '--in', lines.input, '--out', lines.out)
    // The current version may be another one by now.
    const guess = await site.run(['decrypt', '-c', pan, '--in', lines.out, '--out', 'never'])
    expect(guess).toMatchObject({ code: 3, stderr: expect.stringContaining('--from-version') })
    await good(
      'decrypt',
      '-c',
      site.config(3, PAN),
      '--in',
      lines.out,
      '--out',
      `${lines.out}.back.txt`,
      '--from-version',
      '2',
    )
    expect(read(`${lines.out}.back.txt`)).toBe(read(lines.input))
  })

  it('other places and delimiters', async () => {
    const config = site.config(1, PAN)
    const numbered = file(`${cardNumber(1)};x\n${cardNumber(2)};y\n`)
    const places = ['--no-header', '--delimiter', ';', '--field', 'pan=1', '--field', 'v=3']
    await good('encrypt', '-c', config, '--in', numbered.input, '--out', numbered.out, ...places)
    expect(read(numbered.out)).toMatch(/^\d{16};x;1\n\d{16};y;1\n$/)
    const named = file(`card\tx\n${cardNumber(1)}\ty\n`, 'tsv')
    await good(
      'encrypt',
      '-c',
      config,
      '--in',
      named.input,
      '--out',
      named.out,
      '--field',
      'pan=card',
    )
    expect(read(named.out)).toMatch(/^card\tx\tv\n\d{16}\ty\t1\n$/)
  })

  it('are not overwritten, unless that is said', async () => {
    const config = site.config(1, PAN)
    const { input, out } = file(customers(3))
    writeFileSync(site.at(out), 'precious')
    const args = ['encrypt', '-c', config, '--in', input, '--out', out]
    expect(await site.run(args)).toMatchObject({ code: 3 })
    expect(read(out)).toBe('precious')
    await good(...args, '--replace')
    expect(read(out)).toMatch(/^id,pan,name,v\r\n0,/)
  })
})

describe('an input', () => {
  it('is not lost to the report or to rows that are left out', async () => {
    const { input } = file(customers(3))
    const before = read(input)
    const args = ['encrypt', '-c', site.config(1, PAN), '-i', input, '--replace']
    for (const [where, more] of [
      ['--rejects', ['-o', 'kept.csv', '--on-error', 'report', '--rejects', site.at(input)]],
      ['--rejects', ['-o', 'kept.csv', '--on-error', 'report', '--rejects', './kept.csv']],
      ['--rejects', ['-o', '-', '--on-error', 'report', '--rejects', input]],
      ['--out', ['-o', site.at(input), '--on-error', 'skip']],
    ] as const) {
      const ran = await site.run([...args, ...more])
      expect(ran).toMatchObject({ code: 3, stderr: expect.stringContaining(where) })
      expect(read(input)).toBe(before)
    }
    expect(existsSync(site.at('kept.csv'))).toBe(false)
    await good(...args, '-o', input)
    expect(read(input)).toMatch(/^id,pan,name,v\r\n/)
  })
})

describe('pipes', () => {
  it('carry rows only; words go to standard error', async () => {
    const config = site.config(1, PAN)
    const input = customers(3000)
    const args = ['-c', config, '--in', '-', '--out', '-', '--format', 'csv']
    const encrypted = await site.run(['encrypt', ...args], input)
    expect(encrypted.code, encrypted.stderr).toBe(0)
    expect(encrypted.stderr).toContain('3,000 rows')
    const back = await site.run(['decrypt', ...args], encrypted.stdout)
    expect(back.stdout).toBe(input)
    const both = await site.run(['encrypt', ...args, '--json'], input)
    expect(both.code).toBe(2)
    expect(await site.run(['encrypt', ...args, '--resume'], input)).toMatchObject({
      code: 3,
      stdout: '',
    })
    const unnamed = await site.run(['encrypt', '-c', config, '--in', '-', '--out', '-'], input)
    expect(unnamed).toMatchObject({ code: 2, stdout: '' })
  })

  it('into a file: nothing stays when the run fails, because it cannot be gone on with', async () => {
    const config = site.config(1, PAN)
    const args = ['encrypt', '-c', config, '--in', '-', '--out', 'piped.csv', '--batch-rows', '50']
    expect(await site.run(args, `${customers(200)}x,y,z\r\n`)).toMatchObject({ code: 3 })
    expect(readdirSync(site.dir).filter((name) => name.startsWith('piped'))).toEqual([])
    expect(await site.run(args, customers(200))).toMatchObject({ code: 0 })
    expect(read('piped.csv')).toMatch(/^id,pan,name,v\r\n/)
  })

  it('that are full or closed end the run with a word', async () => {
    const config = site.config(1, PAN)
    const { input } = file(customers(200_000))
    const full = await site.run(['encrypt', '-c', config, '--in', input, '--out', '/dev/full'])
    expect(full).toMatchObject({ code: 1, stderr: expect.stringContaining('ENOSPC') })
    const child = site.start(['encrypt', '-c', config, '--in', input, '--out', '-'])
    let stderr = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.stdout?.once('data', () => child.stdout?.destroy())
    expect(await once(child, 'close')).toEqual([1, null])
    expect(stderr).toContain('EPIPE')
  })
})

describe('versions', () => {
  it('rewrap moves mixed rows, from a token to another, to the current one', async () => {
    const parts = await Promise.all(
      [1, 2, 3].map(async (version) => {
        const { input, out } = file(customers(40))
        await good('encrypt', '-c', site.config(version, PAN), '--in', input, '--out', out)
        return read(out)
      }),
    )
    const rows = parts.flatMap((text) => text.trimEnd().split('\r\n').slice(1))
    const mixed = file(`id,pan,name,v\r\n${rows.join('\r\n')}\r\n`)
    const config = site.config(3, PAN)
    await good('rewrap', '-c', config, '--in', mixed.input, '--out', mixed.out)
    const moved = read(mixed.out).trimEnd().split('\r\n').slice(1)
    expect(moved.every((row) => row.endsWith(',3'))).toBe(true)
    expect(moved.slice(0, 40)).toEqual(moved.slice(80))
    await good('decrypt', '-c', config, '--in', mixed.out, '--out', `${mixed.out}.back.csv`)
    const header = 'id,pan,name\r\n'
    expect(read(`${mixed.out}.back.csv`)).toBe(
      header + customers(40).slice(header.length).repeat(3),
    )
  })

  it('FF3-1 is rewrapped to FF1, with a warning', async () => {
    const legacy = {
      uri: 'pkcs11:token=vault;object=legacy-revb;type=secret-key',
      method: 'FF3-1',
      allowNonApproved: true,
      tweak: { hex: '0011223344aabb' },
    }
    const now = { uri: 'pkcs11:token=vault;object=fpe-2;type=secret-key' }
    const bare = { pan: { key: 'cards', format: { type: 'pan' } } }
    const old = site.config(1, bare, { 1: { ...legacy, allowEncrypt: true } })
    const { input, out } = file(customers(20))
    const made = await site.run(['encrypt', '-c', old, '--in', input, '--out', out])
    expect(made.code, made.stderr).toBe(0)
    expect(made.stderr.match(/FF3-1 is not NIST-approved/g)).toHaveLength(1)
    const config = site.config(2, PAN, { 1: legacy, 2: now })
    // The old file does not say its version; the new one does.
    await good(
      'rewrap',
      '-c',
      config,
      '--in',
      out,
      '--out',
      `${out}.ff1.csv`,
      '--from-version',
      '1',
    )
    expect(read(`${out}.ff1.csv`)).toMatch(/^id,pan,name,v\r\n0,\d{16},"Customer, No. 0",2\r\n/)
    await good('decrypt', '-c', config, '--in', `${out}.ff1.csv`, '--out', `${out}.back.csv`)
    expect(read(`${out}.back.csv`)).toBe(read(input))
  })
})

describe('bad rows', () => {
  const planted = '4999-PLANTED-4999'
  const input = (): string =>
    `id,pan,name\n1,${cardNumber(1)},a\n2,${planted},b\n3,${planted}\n4,${cardNumber(4)},d\n5,"${planted}"x,e\n6,${cardNumber(6).replace(/.$/, 'P')},f\n`

  it('stop the run; leave nothing behind; say where and never what', async () => {
    const { input: path, out } = file(input())
    const ran = await site.run([
      'encrypt',
      '-c',
      site.config(1, PAN),
      '--in',
      path,
      '--out',
      out,
      '--json',
    ])
    expect(ran.code).toBe(3)
    expect(JSON.parse(ran.stdout)).toMatchObject({ error: { where: 'line 3, column pan' } })
    expect(ran.stdout + ran.stderr).not.toContain('PLANTED')
    expect(readdirSync(site.dir).filter((name) => name.startsWith(out))).toEqual([])
  })

  it('are left out, counted, and listed where that is asked for; the exit code tells', async () => {
    for (const [how, listed] of [
      ['skip', false],
      ['report', true],
    ] as const) {
      const { input: path, out } = file(input())
      const args = [
        'encrypt',
        '-c',
        site.config(1, PAN),
        '--in',
        path,
        '--out',
        out,
        '--on-error',
        how,
      ]
      const ran = await site.run([...args, '--json'])
      expect(ran.code).toBe(1)
      expect(JSON.parse(ran.stdout)).toMatchObject({ rows: 6, values: 2, badRows: 4 })
      expect(read(out)).toMatch(/^id,pan,name,v\n1,\d{16},a,1\n4,\d{16},d,1\n$/)
      expect(existsSync(site.at(`${out}.rejects.jsonl`))).toBe(listed)
      if (!listed) continue
      const report = read(`${out}.rejects.jsonl`)
      const rows = report
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
      expect(rows.map(({ line, column }) => [line, column])).toEqual([
        [3, 'pan'],
        [4, null],
        [6, null],
        [7, 'pan'],
      ])
      expect(Object.keys(rows[0] ?? {})).toEqual(['line', 'column', 'code', 'message'])
      expect(report + read(out) + ran.stdout + ran.stderr).not.toContain('PLANTED')
    }
  })

  it('go to standard error when the output is a stream', async () => {
    const args = [
      'encrypt',
      '-c',
      site.config(1, PAN),
      '--in',
      '-',
      '--out',
      '-',
      '--format',
      'csv',
    ]
    const ran = await site.run([...args, '--on-error', 'report'], input())
    expect(ran.code).toBe(1)
    expect(ran.stdout.split('\n')).toHaveLength(4)
    expect(ran.stderr).toContain('{"line":3,"column":"pan",')
    const listed = await site.run(
      [...args, '--on-error', 'report', '--rejects', 'bad.jsonl'],
      input(),
    )
    expect(listed.stderr).not.toContain('"line"')
    expect(read('bad.jsonl').trimEnd().split('\n')).toHaveLength(4)
  })
})

describe('interrupted', () => {
  const ROWS = 400_000
  let config = ''
  let input = ''
  let whole = ''
  beforeAll(async () => {
    config = site.config(1, PAN)
    writeFileSync(site.at('long.csv'), customers(ROWS))
    input = 'long.csv'
    await good('encrypt', '-c', config, '--in', input, '--out', 'whole.csv')
    whole = read('whole.csv')
  }, 120_000)

  /** Starts a run and waits until it has written something. */
  async function underWay(out: string, ...more: string[]) {
    const child = site.start(['encrypt', '-c', config, '--in', input, '--out', out, ...more])
    let stderr = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const part = site.at(`${out}.part`)
    const before = existsSync(part) ? statSync(part).size : 0
    while (child.exitCode === null && (existsSync(part) ? statSync(part).size : 0) <= before + 1e6)
      await sleep(2)
    return {
      child,
      stderr: () => stderr,
      closed: once(child, 'close') as Promise<[number | null]>,
    }
  }
  const size = (): number => statSync(site.at('stopped.csv.part')).size
  const finish = async (out: string): Promise<void> => {
    await good('encrypt', '-c', config, '--in', input, '--out', out, '--resume')
    expect(read(out) === whole).toBe(true)
    expect(readdirSync(site.dir).filter((name) => name.startsWith(`${out}.`))).toEqual([])
  }

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    '%s: keeps what is done, and goes on from there',
    { timeout: 60_000 },
    async (signal) => {
      const { child, stderr, closed } = await underWay('stopped.csv')
      child.kill(signal)
      expect(await closed).toEqual([1, null])
      expect(stderr()).toContain('--resume')
      expect(stderr()).toContain('[ABORTED]')
      expect(existsSync(site.at('stopped.csv'))).toBe(false)
      const { progress } = JSON.parse(read('stopped.csv.part.json')) as {
        progress: { outputBytes: number }
      }
      expect(progress.outputBytes).toBe(size())
      expect(size()).toBeGreaterThan(1e6)
      await finish('stopped.csv')
      rmSync(site.at('stopped.csv'))
    },
  )

  it('does not go on under another key of the same name', { timeout: 60_000 }, async () => {
    const { child, closed } = await underWay('renewed.csv')
    child.kill('SIGTERM')
    await closed
    const checkpoint = read('renewed.csv.part.json')
    const { keys } = JSON.parse(checkpoint) as { keys: string }
    expect(keys).toMatch(/^[0-9a-f]{64}$/)
    // As if the check values of the keys had been others.
    writeFileSync(site.at('renewed.csv.part.json'), checkpoint.replace(keys, '0'.repeat(64)))
    const again = ['encrypt', '-c', config, '--in', input, '--out', 'renewed.csv', '--resume']
    expect(await site.run(again)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('a key of the configuration is another one'),
    })
    writeFileSync(site.at('renewed.csv.part.json'), checkpoint)
    await finish('renewed.csv')
    rmSync(site.at('renewed.csv'))
  })

  it('kill -9: goes on from the last checkpoint', { timeout: 60_000 }, async () => {
    const { child, closed } = await underWay('killed.csv')
    child.kill('SIGKILL')
    await closed
    expect(existsSync(site.at('killed.csv.part'))).toBe(true)
    const again = await site.run(['encrypt', '-c', config, '--in', input, '--out', 'killed.csv'])
    expect(again).toMatchObject({ code: 3, stderr: expect.stringContaining('resume that run') })
    const other = await site.run([
      'encrypt',
      '-c',
      site.config(2, PAN),
      '--in',
      input,
      '--out',
      'killed.csv',
      '--resume',
    ])
    expect(other).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('configuration is another'),
    })
    await finish('killed.csv')
  })

  it('two at once: the second is refused', { timeout: 60_000 }, async () => {
    const { child, closed } = await underWay('twice.csv')
    child.kill('SIGSTOP')
    const second = await site.run([
      'encrypt',
      '-c',
      config,
      '--in',
      input,
      '--out',
      'twice.csv',
      '--resume',
    ])
    expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining('[LOCKED]') })
    child.kill('SIGCONT')
    await closed
    expect(child.exitCode).toBe(0)
    expect(read('twice.csv') === whole).toBe(true)
  })

  it('a rewrap goes on as well', { timeout: 60_000 }, async () => {
    const next = site.config(2, PAN)
    await good('rewrap', '-c', next, '--in', 'whole.csv', '--out', 'moved.csv')
    const child = site.start(['rewrap', '-c', next, '--in', 'whole.csv', '--out', 'again.csv'])
    const closed = once(child, 'close')
    while (!existsSync(site.at('again.csv.part')) || statSync(site.at('again.csv.part')).size < 1e6)
      await sleep(2)
    child.kill('SIGKILL')
    await closed
    await good('rewrap', '-c', next, '--in', 'whole.csv', '--out', 'again.csv', '--resume')
    expect(read('again.csv') === read('moved.csv')).toBe(true)
  })

  it(
    'a full disk: says so, and goes on when there is room',
    { timeout: 60_000 },
    async ({ skip }) => {
      const disk = site.at('disk')
      mkdirSync(disk)
      try {
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk], { stdio: 'pipe' })
      } catch (error) {
        skip(`no right to mount a small tmpfs: ${(error as Error).message.split('\n')[0] ?? ''}`)
      }
      try {
        const args = ['encrypt', '-c', config, '--in', input, '--out', join('disk', 'out.csv')]
        const full = await site.run(args)
        expect(full).toMatchObject({ code: 1, stderr: expect.stringContaining('ENOSPC') })
        expect(full.stderr).toContain('free disk space, then resume')
        execFileSync('mount', ['-o', 'remount,size=200m', disk])
        await good(...args, '--resume')
        expect(read(join('disk', 'out.csv')) === whole).toBe(true)
      } finally {
        execFileSync('umount', [disk])
      }
    },
  )

  it('an input that changes under the run is not published', { timeout: 60_000 }, async () => {
    writeFileSync(site.at('moving.csv'), customers(200_000))
    const child = site.start([
      'encrypt',
      '-c',
      config,
      '--in',
      'moving.csv',
      '--out',
      'moving-out.csv',
    ])
    const closed = once(child, 'close')
    while (
      !existsSync(site.at('moving-out.csv.part')) ||
      statSync(site.at('moving-out.csv.part')).size < 1e5
    )
      await sleep(2)
    writeFileSync(site.at('moving.csv'), 'x,y\r\n', { flag: 'a' })
    expect((await closed)[0]).toBe(3)
    expect(existsSync(site.at('moving-out.csv'))).toBe(false)
  })
})

describe('PINs', () => {
  const encrypting = (config: string, input: string, out: string) =>
    openTerminal(keyrite('fpe', 'encrypt', '-c', config, '--in', input, '--out', out), {
      cwd: site.dir,
      env: personalEnv({ ...site.env, NO_COLOR: '1' }),
    })
  const pinOf = (name: 'vault' | 'other'): string =>
    Buffer.from(site.tokens[name].userPin()).toString('ascii')

  it('are asked for on the terminal, once for each token', async () => {
    const { input, out } = file(customers(10))
    await using terminal = encrypting(site.config(3, PAN), input, out)
    await terminal.expect('user PIN of token vault (not shown):')
    terminal.type(`${pinOf('vault')}\r`)
    await terminal.expect('user PIN of token other (not shown):')
    terminal.type(`${pinOf('other')}\r`)
    expect(await terminal.exited).toBe(0)
    const shown = plainText(terminal.output)
    expect(shown).toContain('10 rows')
    for (const name of ['vault', 'other'] as const) expect(shown).not.toContain(pinOf(name))
  })

  it('that are wrong end the run with 4 and leave nothing', async () => {
    const { input, out } = file(customers(10))
    await using terminal = encrypting(site.config(1, PAN), input, out)
    await terminal.expect('(not shown):')
    terminal.type('wrong-pin\r')
    expect(await terminal.exited).toBe(4)
    expect(plainText(terminal.output)).toContain('CKR_PIN_INCORRECT')
    expect(readdirSync(site.dir).filter((name) => name.startsWith(out))).toEqual([])
  })

  it('that are missing are missed with a word', () => {
    const { input, out } = file(customers(10))
    const [program = '', ...rest] = keyrite(
      'fpe',
      'encrypt',
      '-c',
      site.config(1, PAN),
      '--in',
      input,
      '--out',
      out,
    )
    for (const fd of ['9', '0']) {
      const ran = execFileSync(
        'sh',
        ['-c', '"$@"; echo "exit $?"', 'sh', program, ...rest, '--login-fd', fd],
        {
          cwd: site.dir,
          env: personalEnv(site.env),
          encoding: 'utf8',
          stdio: [openSync('/dev/null', 'r'), 'pipe', 'pipe'],
        },
      )
      expect(ran).toContain('exit 3')
    }
  })
})

describe('check', () => {
  it('says what a configuration means without a key, and with one what the key allows', async () => {
    const config = site.config(2, PAN)
    const dry = await site.run(['check', '-c', config])
    expect(dry.code, dry.stderr).toBe(0)
    expect(dry.stdout).toContain('encrypts single blocks only')
    const found = JSON.parse((await site.run(['check', '-c', config, '--json'])).stdout) as object
    expect(found).toMatchObject({
      evidence: 'module-reported',
      columns: [{ name: 'pan', currentVersion: 2, domain: '1000000000000', versionColumn: 'v' }],
      keys: [
        { key: 'cards', version: 1, current: false, method: 'FF1', loose: [] },
        { key: 'cards', version: 2, current: true, method: 'FF1', loose: [] },
        { key: 'cards', version: 3, current: false, method: 'FF1', loose: [] },
      ],
    })
    await using terminal = openTerminal(keyrite('fpe', 'check', '-c', config), {
      cwd: site.dir,
      env: personalEnv({ SOFTHSM2_CONF: site.softhsm.conf, NO_COLOR: '1' }),
    })
    expect(await terminal.exited).toBe(0)
    expect(plainText(terminal.output)).toContain('evidence: configuration only')
  })

  it('refuses wrong configurations, small domains and keys that are not there', async () => {
    const wrong: [string, number, string][] = [
      [site.config(9, PAN), 3, 'CONFIG'],
      [site.config(1, { pan: { key: 'other', format: { type: 'pan' } } }), 3, 'CONFIG'],
      [
        site.config(1, {
          pan: { key: 'cards', format: { type: 'pan', digits: 15, keepFirst: 6, keepLast: 4 } },
        }),
        3,
        'DOMAIN_TOO_SMALL',
      ],
      [
        site.config(1, PAN, { 1: { uri: 'pkcs11:token=vault;object=nobody;type=secret-key' } }),
        4,
        'KEY_NOT_FOUND',
      ],
      [
        site.config(1, PAN, { 1: { uri: 'pkcs11:token=nobody;object=fpe-1;type=secret-key' } }),
        4,
        'TOKEN_NOT_FOUND',
      ],
      [
        site.config(1, PAN, {
          1: { uri: 'pkcs11:token=vault;object=fpe-1;type=secret-key', method: 'FF3-1' },
        }),
        3,
        'NOT_APPROVED',
      ],
    ]
    for (const [config, exit, code] of wrong) {
      const ran = await site.run(['check', '-c', config, '--json'])
      expect(JSON.parse(ran.stdout), ran.stderr).toMatchObject({ error: { code } })
      expect(ran.code).toBe(exit)
    }
  })

  it('a column that is left out, but shares its key version, is refused and not forgotten', async () => {
    const ssn = { key: 'cards', format: { type: 'ssn' }, versionColumn: 'v' }
    const { input, out } = file(`pan,ssn\n${cardNumber(1)},219-09-9999\n`)
    await good('encrypt', '-c', site.config(1, { ...PAN, ssn }), '-i', input, '-o', out)
    const config = site.config(2, { ...PAN, ssn })
    for (const task of ['rewrap', 'decrypt']) {
      const args = [task, '-c', config, '-i', out, '-o', 'half.csv']
      const half = await site.run([...args, '--column', 'pan', '--json'])
      expect(JSON.parse(half.stdout)).toMatchObject({ error: { where: 'column ssn' } })
      expect(half.code).toBe(3)
      expect(existsSync(site.at('half.csv'))).toBe(false)
      await good(...args, '--column', 'pan', '--column', 'ssn', '--replace')
      rmSync(site.at('half.csv'))
    }
  })

  it('a place for something the configuration does not name is refused', async () => {
    const { input, out } = file(customers(1))
    const args = ['encrypt', '-c', site.config(1, PAN), '-i', input, '-o', out]
    const ran = await site.run([...args, '--field', 'version=v', '--json'])
    expect(JSON.parse(ran.stdout)).toMatchObject({
      error: { where: expect.stringContaining('--field version') },
    })
    expect(ran.code).toBe(3)
  })

  it('a column that is not in the configuration or not in the file is refused', async () => {
    const config = site.config(1, PAN)
    const { input, out } = file('a,b\n4111111111111111,2\n')
    const args = ['encrypt', '-c', config, '--in', input, '--out', out]
    expect(await site.run([...args, '--column', 'nobody'])).toMatchObject({ code: 3 })
    const absent = await site.run(args)
    expect(absent).toMatchObject({ code: 3, stderr: expect.stringContaining('no such column') })
    expect(absent.stderr).not.toContain('4111')
    expect(readdirSync(site.dir).filter((name) => name.startsWith(out))).toEqual([])
  })
})
