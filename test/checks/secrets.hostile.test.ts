/**
 * Planted secrets: what people type, what the shares hold and the PINs they combine to must appear nowhere
 * but on the people's own media. A whole ceremony is run at a terminal and searched afterwards: bundle,
 * screen, files beside it, arguments and environment of every process, core files.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { toHex, utf8 } from '../../src/bytes.ts'
import { type Commitments, combineShares, openShare } from '../../src/quorum/index.ts'
import { type Acting, type Site, attend, openSite, planFile } from '../cli/people.ts'
import { type Terminal, keyrite, openTerminal, personalEnv } from '../cli/terminal.ts'
import { runKeyrite } from '../cli/run-keyrite.ts'
import { type Watch, watch } from '../cli/watching.ts'
import { type SoftHsm, scratch, softHsm } from '../tokens.ts'
import { entrySchema } from '../../src/ceremony/index.ts'

const TOKEN_PIN = 'planted-pin-0451'
const TOKEN_SO_PIN = 'planted-so-pin-0452'
const ACTING: Acting = {
  administrator: 'ada',
  custodian: 'alice carol',
  'security-officer': 'sam sue',
  witness: 'walter',
}

let softhsm: SoftHsm
let dir = ''
let site: Site
let seen: Watch
/** Everything that appeared on a screen. */
let screens = ''
/** Name and bytes of every secret. */
const planted = new Map<string, Uint8Array>()

function person(...args: string[]): Terminal {
  return openTerminal(keyrite(...args), { cwd: dir, env: personalEnv(site.env) })
}

/** All files below a directory. */
function files(below: string): string[] {
  return readdirSync(below, { withFileTypes: true }).flatMap((item) => {
    const path = join(below, item.name)
    return item.isDirectory() ? files(path) : item.isFile() ? [path] : []
  })
}

/** The forms in which bytes leak: as they are, hexadecimal, base64 (at every offset), UTF-16. */
function forms(secret: Uint8Array): Buffer[] {
  const bytes = Buffer.from(secret)
  const hex = bytes.toString('hex')
  const base64 = [0, 1, 2].map((offset) => {
    // Whole base64 groups inside the secret look the same wherever it starts.
    const skipped = (3 - offset) % 3
    const whole = Math.floor((bytes.length - skipped) / 3) * 3
    return bytes.subarray(skipped, skipped + whole).toString('base64')
  })
  const texts = [
    hex,
    hex.toUpperCase(),
    ...base64,
    ...base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
  ]
  return [
    bytes,
    Buffer.from(bytes.toString('latin1'), 'utf16le'),
    ...texts.map((text) => Buffer.from(text)),
  ]
}

/** Names of secrets found in `content`. */
function found(content: Buffer): string[] {
  return [...planted].flatMap(([name, secret]) =>
    forms(secret).some((form) => content.includes(form)) ? [name] : [],
  )
}

/** Opens the copied share files and works out every PIN of every epoch. */
async function plantShares(): Promise<void> {
  const byScope = new Map<string, Awaited<ReturnType<typeof openShare>>[]>()
  for (const name of readdirSync(seen.shares)) {
    const holder = /\.(\w+)\.age$/.exec(name)?.[1] ?? ''
    const key =
      holder === 'alice'
        ? { passphrase: utf8(site.secrets.sharePassphrase) }
        : { identity: new Uint8Array(readFileSync(join(dir, holder, 'age-identity'))) }
    const share = await openShare(new Uint8Array(readFileSync(join(seen.shares, name))), key)
    planted.set(`share ${name}`, share.value.slice())
    planted.set(`salt ${name}`, share.salt.slice())
    const scope = `${share.tokenLabel} ${share.pin} ${share.epoch}`
    byScope.set(scope, [...(byScope.get(scope) ?? []), share])
  }
  const entries = execFileSync('cat', [join(dir, 'bundle', 'log', 'seg', '000000000000.jsonl')], {
    encoding: 'utf8',
  })
    .trimEnd()
    .split('\n')
    .map((line) => entrySchema.parse(JSON.parse(line)))
  for (const entry of entries) {
    if (entry.type !== 'shares.committed') continue
    const commitments: Commitments = entry.commitments
    const scope = `${commitments.tokenLabel} ${commitments.pin} ${commitments.epoch}`
    const shares = byScope.get(scope) ?? []
    const secret = await combineShares(shares.slice(0, commitments.threshold), commitments)
    planted.set(`PIN ${scope}`, secret.slice())
    planted.set(`PIN digits ${scope}`, utf8(toHex(secret)))
  }
}

beforeAll(async () => {
  softhsm = softHsm()
  dir = scratch('secrets')
  // Temporary files of this ceremony alone, whatever else the machine is doing.
  mkdirSync(join(dir, 'tmp'))
  process.env['TMPDIR'] = join(dir, 'tmp')
  const env = personalEnv({ SOFTHSM2_CONF: softhsm.conf, KEYRITE_MODULE: softhsm.module })
  await using init = openTerminal(keyrite('token', 'init', '--label', 'carol'), { env })
  for (const pin of [TOKEN_SO_PIN, TOKEN_PIN]) {
    for (let twice = 0; twice < 2; twice += 1) {
      await init.expect('(not shown):')
      init.type(`${pin}\r`)
    }
  }
  await init.expect('token carol is initialised')
  await using keygen = openTerminal(
    keyrite(
      'custodian',
      'keygen',
      '--token',
      'pkcs11:token=carol',
      '--principal',
      'carol@site.example',
    ),
    { env },
  )
  await keygen.expect('(not shown):')
  keygen.type(`${TOKEN_PIN}\r`)
  await keygen.exited
  screens += init.output + keygen.output
  site = await openSite({
    dir,
    module: softhsm.module,
    softhsmConf: softhsm.conf,
    carolKey: /namespaces=\S+ (ssh-ed25519 \S+)/.exec(keygen.output)?.[1] ?? '',
    tokenPin: TOKEN_PIN,
    tokenSoPin: TOKEN_SO_PIN,
  })
  for (const [name, secret] of Object.entries(site.secrets)) planted.set(name, utf8(secret))

  seen = watch(
    ['alice', 'bob', 'carol', 'sam', 'sue', 'sol'].map((id) => join(dir, id, 'medium')),
    join(scratch('secrets-shares'), 'copies'),
  )
  const binding = site.bind({
    tokens: {
      vault: { label: 'vault', serial: 'blank' },
      custody: { label: 'custody', serial: 'blank' },
    },
  })
  await using room = person(
    ...['ceremony', 'run', planFile('initialise-tokens'), '--binding', binding, '--out', 'bundle'],
  )
  await attend(room, site, ACTING, /The ceremony is complete\./)
  await room.exited
  screens += room.output
  await plantShares()
}, 120_000)

afterAll(async () => {
  seen[Symbol.dispose]()
  await site[Symbol.asyncDispose]()
  rmSync(dir, { recursive: true, force: true })
  rmSync(join(seen.shares, '..'), { recursive: true, force: true })
  softhsm.cleanup()
})

describe('planted secrets', () => {
  it('are known: typed secrets, all shares and PINs of every epoch', () => {
    const names = [...planted.keys()]
    // 2 tokens: SO PIN (epoch 1) and user PIN (epochs 1 and 2), each split among three people.
    expect(names.filter((name) => name.startsWith('share '))).toHaveLength(18)
    expect(names.filter((name) => name.startsWith('PIN digits '))).toHaveLength(6)
    expect(names).toEqual(expect.arrayContaining(['sharePassphrase', 'keyPassphrase', 'tokenPin']))
  })

  it('would be found: the search sees them where they belong', () => {
    const share = [...planted].find(([name]) => name.startsWith('share '))!
    expect(found(Buffer.from(`x${Buffer.from(share[1]).toString('base64')}y`))).toEqual([share[0]])
    expect(found(Buffer.concat([Buffer.from('ab'), Buffer.from(share[1])]))).toEqual([share[0]])
    expect(found(Buffer.from(`--${TOKEN_PIN}--`))).toEqual(['tokenPin'])
    const shifted = Buffer.concat([Buffer.from('z'), Buffer.from(share[1])]).toString('base64')
    expect(found(Buffer.from(shifted))).toEqual([share[0]])
  })

  it('are not in the bundle', () => {
    const bundle = files(join(dir, 'bundle'))
    expect(bundle.length).toBeGreaterThan(15)
    for (const file of bundle) expect(found(readFileSync(file)), file).toEqual([])
  })

  it('are in no other file of the site, the tokens or the temporary directories', () => {
    const left = [...files(dir), ...files(softhsm.dir)]
    for (const file of left) expect(found(readFileSync(file)), file).toEqual([])
    expect(readdirSync(join(dir, 'tmp'))).toEqual([])
  })

  it('never appeared on a screen', () => {
    expect(screens).toContain('The ceremony is complete.')
    expect(found(Buffer.from(screens))).toEqual([])
  })

  it('were in no process’s arguments or environment', () => {
    // ssh-keygen lives for milliseconds; that it was seen shows that the watch was close enough.
    expect([...seen.names]).toEqual(expect.arrayContaining(['node', 'ssh-keygen']))
    expect(found(Buffer.from([...seen.processes].join('\n'), 'latin1'))).toEqual([])
  })

  it('do not come out in errors, with or without KEYRITE_DEBUG', async () => {
    const [share] = readdirSync(join(dir, 'alice', 'medium'))
    const file = join('alice', 'medium', share!)
    for (const debug of ['0', '1']) {
      const env = personalEnv({ ...site.env, KEYRITE_DEBUG: debug })
      for (const args of [
        ['custodian', 'share', 'verify', file, '--bundle', '/tmp', '--json'],
        [
          'key',
          'show',
          'pkcs11:object=none',
          '-t',
          'pkcs11:token=carol',
          '-m',
          softhsm.module,
          '--json',
        ],
      ]) {
        await using asked = openTerminal(keyrite(...args), { cwd: dir, env })
        await asked.expect('(not shown):')
        asked.type(`${args[0] === 'key' ? TOKEN_PIN : site.secrets.sharePassphrase}\r`)
        expect(await asked.exited).not.toBe(0)
        expect(asked.output).toContain('error:')
        expect(found(Buffer.from(asked.output))).toEqual([])
      }
    }
    // A secret given as an argument by mistake: the shell has leaked it already, keyrite must not add to it.
    const pinInUri = `pkcs11:token=carol?pin-value=${TOKEN_PIN}`
    const { code, stdout, stderr } = await runKeyrite(
      ['token', 'show', pinInUri, '-m', softhsm.module, '--json'],
      { cwd: dir, env: site.env },
    )
    expect(code).toBe(3)
    expect(found(Buffer.from(stdout + stderr))).toEqual([])
  })

  it('are not in a core file', async () => {
    const cores = scratch('secrets-core')
    // A control first: without the command line's own precaution a core file does hold what was in memory.
    const dump = (program: string): Buffer => {
      rmSync(join(cores, 'core'), { force: true })
      execFileSync(
        'bash',
        ['-c', 'ulimit -c unlimited; "$0" "$1" || true', process.execPath, program],
        {
          cwd: cores,
          stdio: 'ignore',
        },
      )
      const [core] = readdirSync(cores).filter((name) => name.startsWith('core'))
      return core === undefined ? Buffer.alloc(0) : readFileSync(join(cores, core))
    }
    try {
      const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8')
      const control = join(cores, 'control.mjs')
      writeFileSync(
        control,
        `globalThis.kept = Buffer.from('${TOKEN_PIN}'); process.kill(process.pid, 'SIGSEGV')`,
      )
      const plain = dump(control)
      await using room = openTerminal(
        [
          'bash',
          '-c',
          'ulimit -c unlimited; exec "$@"',
          'bash',
          ...keyrite('token', 'init', '--label', 'x', '-m', softhsm.module),
        ],
        { cwd: cores, env: personalEnv(site.env) },
      )
      for (let twice = 0; twice < 2; twice += 1) {
        await room.expect('(not shown):')
        room.type(`${TOKEN_SO_PIN}\r`)
      }
      await room.expect('new user PIN')
      rmSync(join(cores, 'core'), { force: true })
      const filter = readFileSync(`/proc/${room.pid}/coredump_filter`, 'utf8')
      expect(Number.parseInt(filter, 16)).toBe(0)
      process.kill(room.pid, 'SIGSEGV')
      await room.exited
      // Only where the kernel writes plain core files can they be searched here.
      if (!/^core\s*$/.test(pattern) || plain.length === 0) return
      expect(plain.includes(TOKEN_PIN)).toBe(true)
      const [core] = readdirSync(cores).filter((name) => name.startsWith('core'))
      if (core === undefined) return
      expect(statSync(join(cores, core)).size).toBeLessThan(plain.length / 10)
      expect(found(readFileSync(join(cores, core)))).toEqual([])
    } finally {
      rmSync(cores, { recursive: true, force: true })
    }
  })
})
