/** A whole ceremony at a terminal: people, media, tokens; what they see, and what is left behind. */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type SoftHsm, scratch, softHsm } from '../tokens.ts'
import { type Acting, type Site, attend, openSite, planFile } from './people.ts'
import { runKeyrite } from './run-keyrite.ts'
import { type Terminal, keyrite, openTerminal, personalEnv, plainText } from './terminal.ts'

const TOKEN_PIN = '7391-carol'
const TOKEN_SO_PIN = '9173-carol-so'
const BOTH: Acting = {
  administrator: 'ada',
  custodian: 'alice carol',
  'security-officer': 'sam sue',
  witness: 'walter',
}
const OTHERS: Acting = { ...BOTH, custodian: 'bob, carol' }

let softhsm: SoftHsm
let dir = ''
let site: Site

function person(...args: string[]): Terminal {
  return openTerminal(keyrite(...args), { cwd: dir, env: personalEnv(site.env) })
}
const command = (...args: string[]) => runKeyrite(args, { cwd: dir, env: site.env })

/** Every visible line of the normal flow fits an 80-column terminal. */
function expectNarrow(output: string): void {
  const wide = plainText(output)
    .split('\n')
    .filter((line) => Array.from(line).length > 80)
  expect(wide).toEqual([])
}

function expectNoSecrets(output: string): void {
  for (const secret of Object.values(site.secrets)) expect(output).not.toContain(secret)
}

/** carol prepares her own token, as the README says. */
async function carolsKey(conf: string): Promise<string> {
  const env = personalEnv({ SOFTHSM2_CONF: conf, KEYRITE_MODULE: softhsm.module, NO_COLOR: '1' })
  await using init = openTerminal(keyrite('token', 'init', '--label', 'carol'), { env })
  for (const pin of [TOKEN_SO_PIN, TOKEN_PIN]) {
    await init.expect(/new (SO|user) PIN \(not shown\): /)
    init.type(`${pin}\r`)
    await init.expect('the same again (not shown): ')
    init.type(`${pin}\r`)
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
  await keygen.expect('(not shown): ')
  keygen.type(`${TOKEN_PIN}\r`)
  await keygen.expect(/carol@site\.example namespaces=\S+ ssh-ed25519 \S+\r/)
  expect(await keygen.exited).toBe(0)
  return /namespaces=\S+ (ssh-ed25519 \S+)/.exec(keygen.output)?.[1] ?? ''
}

beforeAll(async () => {
  softhsm = softHsm()
  dir = scratch('cli')
  const carolKey = await carolsKey(softhsm.conf)
  site = await openSite({
    dir,
    module: softhsm.module,
    softhsmConf: softhsm.conf,
    carolKey,
    tokenPin: TOKEN_PIN,
    tokenSoPin: TOKEN_SO_PIN,
  })
})
afterAll(async () => {
  await site[Symbol.asyncDispose]()
  rmSync(dir, { recursive: true, force: true })
  softhsm.cleanup()
})

/** Starts a ceremony and kills it with signal 9 at a step. */
async function killedRun(out: string, step: RegExp): Promise<void> {
  const plan = planFile('generate-fpe-key')
  await using room = person('ceremony', 'run', plan, '--binding', second, '--out', out)
  await attend(room, site, OTHERS, step)
  process.kill(room.pid, 'SIGKILL')
  await room.exited
}

const blank = { label: '', serial: 'blank' }
let second = ''

describe('interactive ceremonies', { timeout: 180_000 }, () => {
  it('runs to the end with a key file, an agent, a token and a detached signature', async () => {
    const binding = site.bind({
      tokens: { vault: { ...blank, label: 'vault' }, custody: { ...blank, label: 'custody' } },
    })
    await using room = person(
      ...['ceremony', 'run', planFile('initialise-tokens'), '--binding', binding, '--out', 'first'],
    )
    await attend(room, site, BOTH, /The ceremony is complete\./)
    expect(await room.exited).toBe(0)
    expectNarrow(room.output)
    expectNoSecrets(room.output)
    const seen = plainText(room.output)
    expect(seen).toMatch(/^ {4}1 {2}say {6}Roll call$/m)
    expect(seen).toMatch(/^\[#+-+\] step 7\/25 {2}do +\d:\d\d:\d\d$/m)
    expect(seen).toContain('>> alice (Alice Ångström) is asked:')
    expect(seen).toMatch(/^ {5}words {2}\S+ +\S+ +\S+ +\S+$/m)
    expect(seen).toMatch(/^entries +\d+$/m)
  })

  it('leaves a bundle that verifies as production, and not as a rehearsal', async () => {
    const trust = ['--roster', 'allowed_signers', '--vkey', 'first/vkey']
    const good = await command('ceremony', 'verify', 'first', ...trust, '--json')
    expect(good.code, good.stderr).toBe(0)
    expect(JSON.parse(good.stdout)).toMatchObject({
      ok: true,
      outcome: 'complete',
      mode: 'production',
    })
    expectNarrow(good.stderr)
    expect((await command('ceremony', 'verify', 'first', '--rehearsal')).code).toBe(5)
  })

  it('says whose share a file holds, and that it is the one that was issued', async () => {
    const medium = readdirSync(join(dir, 'bob', 'medium')).filter((name) =>
      name.startsWith('vault'),
    )
    expect(medium).toHaveLength(1)
    const file = join('bob', 'medium', medium[0]!)
    const identity = ['--identity', 'bob/age-identity']
    const shown = await command('custodian', 'share', 'show', file, ...identity, '--json')
    expect(JSON.parse(shown.stdout)).toEqual({
      file,
      holder: 'bob',
      tokenLabel: 'vault',
      tokenSerial: expect.any(String),
      pin: 'user',
      epoch: 2,
      index: 2,
      of: 3,
      threshold: 2,
    })
    const verify = ['custodian', 'share', 'verify', file, '--bundle']
    expect((await command(...verify, 'first', ...identity)).code).toBe(0)
    await using asked = person(
      'custodian',
      'share',
      'show',
      join('alice', 'medium', medium[0]!.replace('bob', 'alice')),
    )
    await asked.expect('(not shown): ')
    asked.type(`${site.secrets.sharePassphrase}\r`)
    await asked.expect(/holder +alice/)
    expectNoSecrets(asked.output)
  })

  it('lets a person sign later, once', async () => {
    const sign = ['ceremony', 'sign', 'first', '--as', 'bob', '--key', 'bob/id_ed25519']
    await using bob = person(...sign)
    await bob.expect('Type exactly:  sign as bob')
    bob.type('sign as bob\n')
    await bob.expect('bob has signed the transcript')
    expect(await bob.exited).toBe(0)
    expect(existsSync(join(dir, 'first', 'signatures', 'bob.sshsig'))).toBe(true)
    const again = await command(...sign, '--json')
    expect(JSON.parse(again.stdout)).toMatchObject({ error: { code: 'OUTPUT_EXISTS' } })
    expect(again.code).toBe(1)
    expect((await command('ceremony', 'verify', 'first')).code).toBe(0)
  })

  it('CER-ABORT-1: Ctrl-C ends in a truthful, signed transcript and a non-zero exit', async () => {
    const listed = await command('token', 'list', '--module', softhsm.module, '--json')
    const { tokens } = JSON.parse(listed.stdout) as { tokens: { label: string; serial: string }[] }
    const vault = tokens.find(({ label }) => label === 'vault')!
    const { root } = JSON.parse(
      (await command('ceremony', 'verify', 'first', '--json')).stdout,
    ) as { root: string }
    second = site.bind({
      tokens: { vault: { label: 'vault', serial: vault.serial } },
      previous: { bundle: join(dir, 'first'), root: `sha256:${root}` },
    })
    await using room = person(
      ...['ceremony', 'run', planFile('generate-fpe-key'), '--binding', second, '--out', 'stopped'],
    )
    // The quorum has logged in: the HSM can still sign the last words.
    await attend(room, site, OTHERS, /step 11\/16[^>]*>> bob/)
    await room.expect('bob> ')
    room.type('appro\u0003')
    await attend(room, site, OTHERS, /The ceremony was ABORTED\./)
    expect(await room.exited).toBe(1)
    expectNarrow(room.output)
    expectNoSecrets(room.output)
    expect(plainText(room.output)).toContain('STOPPED. The ceremony is being closed truthfully')
    const verified = await command('ceremony', 'verify', 'stopped', '--previous', 'first', '--json')
    expect(JSON.parse(verified.stdout), verified.stderr).toMatchObject({
      ok: true,
      outcome: 'aborted',
    })
  })

  it('a killed run is taken up by resume and completes', async () => {
    await killedRun('killed', /step 11\/16/)
    await using room = person('ceremony', 'resume', 'killed', '--binding', second)
    await attend(room, site, OTHERS, /The ceremony is complete\./)
    expect(await room.exited).toBe(0)
    expectNoSecrets(room.output)
    expect(plainText(room.output)).toContain('done before: step 8 is in the transcript already')
    const verified = await command('ceremony', 'verify', 'killed', '--previous', 'first', '--json')
    expect(JSON.parse(verified.stdout)).toMatchObject({ ok: true, outcome: 'complete' })
  })

  it('a killed run is closed by abort, and then cannot be resumed', async () => {
    await killedRun('closed', /step 2\/16/)
    const abort = ['ceremony', 'abort', 'closed', '--binding', second, '--reason', 'power cut']
    await using closing = person(...abort)
    await attend(closing, site, OTHERS, /The ceremony was ABORTED\./)
    expect(await closing.exited).toBe(1)
    const verified = await command('ceremony', 'verify', 'closed', '--previous', 'first', '--json')
    const { ok, outcome, findings } = JSON.parse(verified.stdout) as Record<string, unknown>
    expect({ ok, outcome }, JSON.stringify(findings)).toEqual({ ok: true, outcome: 'aborted' })
    const resumed = await command('ceremony', 'resume', 'closed', '--binding', second, '--json')
    expect(JSON.parse(resumed.stdout)).toMatchObject({ error: { code: 'NOT_RESUMABLE' } })
    expect(resumed.code).toBe(1)
  })

  it('refuses an output that exists, a module that is not the bound one, and a missing terminal', async () => {
    const run = ['ceremony', 'run', planFile('generate-fpe-key'), '--binding', second, '--json']
    const taken = await command(...run, '--out', 'first')
    expect(JSON.parse(taken.stdout)).toMatchObject({ error: { code: 'OUTPUT_EXISTS' } })
    const alone = await command(...run, '--out', 'alone')
    expect(JSON.parse(alone.stdout)).toMatchObject({
      outcome: 'aborted',
      error: { code: 'CONFIG' },
    })
    expect(alone.code).toBe(3)
  })
})
