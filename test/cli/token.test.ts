/** Commands on real tokens: what the module reports, wrong PINs, plans and rosters that are refused. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type SoftHsm, type TestToken, nssModule, scratch, softHsm } from '../tokens.ts'
import { planFile } from './people.ts'
import { runKeyrite } from './run-keyrite.ts'
import { keyrite, openTerminal, personalEnv, plainText } from './terminal.ts'

let softhsm: SoftHsm
let alice: TestToken
let dir = ''
let env: Record<string, string>

beforeAll(() => {
  softhsm = softHsm()
  alice = softhsm.tokens('alice').alice
  dir = scratch('cli-token')
  env = { SOFTHSM2_CONF: softhsm.conf, KEYRITE_MODULE: softhsm.module }
})
afterAll(() => {
  rmSync(dir, { recursive: true, force: true })
  softhsm.cleanup()
})

const command = (...args: string[]) => runKeyrite(args, { cwd: dir, env })
const widest = (text: string): number =>
  Math.max(
    ...plainText(text)
      .split('\n')
      .map((line) => Array.from(line).length),
  )

/** Runs a command that asks for one PIN. */
async function withPin(pin: string, ...args: string[]): Promise<{ code: number; output: string }> {
  await using terminal = openTerminal(keyrite(...args), {
    cwd: dir,
    env: personalEnv({ ...env, NO_COLOR: '1' }),
  })
  await terminal.expect('(not shown):')
  terminal.type(`${pin}\r`)
  return { code: await terminal.exited, output: plainText(terminal.output) }
}
const pinOf = (token: TestToken): string => Buffer.from(token.userPin()).toString('ascii')

describe('token and key', () => {
  it('lists and shows tokens, in text and as JSON', async () => {
    const listed = await command('token', 'list', '--json')
    expect(JSON.parse(listed.stdout)).toMatchObject({
      evidence: 'module-reported',
      tokens: [{ label: 'alice', serial: alice.serial, uri: alice.uri }],
    })
    const shown = await command('token', 'show', 'pkcs11:token=alice')
    expect(shown.stdout).toContain(`${alice.uri}\n`)
    expect(shown.stdout).toMatch(/^mechanisms +\d+: CKM_/m)
  })

  it('makes an approval key once, and shows what the module reports about it', async () => {
    const keygen = ['custodian', 'keygen', '-t', alice.uri, '--principal', 'alice@site.example']
    const made = await withPin(pinOf(alice), ...keygen)
    expect(made).toMatchObject({ code: 0 })
    expect(made.output).toMatch(
      /^alice@site\.example namespaces="keyrite-approval,keyrite-checkpoint" ssh-ed25519 \S+$/m,
    )
    const again = await withPin(pinOf(alice), ...keygen)
    expect(again.output).toContain('[OUTPUT_EXISTS]')
    expect(again.code).toBe(1)

    const list = await withPin(pinOf(alice), 'key', 'list', '-t', alice.uri)
    expect(list.output).toMatch(/^private-key +approval +yes +no +yes +[0-9a-f]{32}$/m)
    expect(widest(list.output)).toBeLessThanOrEqual(80)
    const open = await command('key', 'list', '-t', alice.uri, '--public', '--json')
    expect(JSON.parse(open.stdout)).toMatchObject({
      objects: [{ class: 'public-key', label: 'approval' }],
    })

    const show = ['key', 'show', 'pkcs11:object=approval;type=private', '-t', alice.uri]
    const shown = await withPin(pinOf(alice), ...show)
    expect(shown.output).toMatch(/^EXTRACTABLE +module-reported +false$/m)
    expect(shown.output).toMatch(/^KCV +[0-9a-f]{64}$/m)
  })

  it('a wrong PIN says so, and exits with 4', async () => {
    const { code, output } = await withPin('wrong-pin', 'key', 'list', '-t', alice.uri)
    expect(code).toBe(4)
    expect(output).toMatch(/error: C_Login failed: CKR_PIN_INCORRECT/)
    for (const part of ['where', 'expected', 'got', 'hint']) {
      expect(output).toMatch(new RegExp(`^  ${part}:`, 'm'))
    }
    expect(output).not.toContain('wrong-pin')
  })

  it('names what it did not find', async () => {
    const noToken = await command('key', 'list', '-t', 'pkcs11:token=nobody', '--json')
    expect(JSON.parse(noToken.stdout)).toMatchObject({ error: { code: 'TOKEN_NOT_FOUND' } })
    expect(noToken.code).toBe(4)
    const noKey = await command(
      'key',
      'show',
      'pkcs11:object=x',
      '-t',
      alice.uri,
      '--public',
      '--json',
    )
    expect(JSON.parse(noKey.stdout)).toMatchObject({ error: { code: 'KEY_NOT_FOUND' } })
    const taken = await command('token', 'init', '--label', 'alice', '--json')
    expect(JSON.parse(taken.stdout)).toMatchObject({ error: { code: 'OUTPUT_EXISTS' } })
  })
})

describe('doctor', () => {
  it('examines SoftHSM2', async () => {
    const { code, stdout, stderr } = await command('doctor', softhsm.module, '--json')
    expect(code, stderr).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      probed: { label: 'alice', loggedIn: false },
      shutdown: 'clean',
    })
    expect(widest(stderr)).toBeLessThanOrEqual(80)
  })

  it('examines NSS softoken with its library parameters', async () => {
    const nss = nssModule()
    try {
      const { code, stdout, stderr } = await command(
        ...['doctor', nss.module, '-t', nss.token.uri, '--json'],
        ...['--library-parameters', nss.libraryParameters],
      )
      expect(code, stderr).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject({ probed: { label: nss.token.label } })
    } finally {
      nss.cleanup()
    }
  })
})

describe('plans and rosters', () => {
  it('lints: clean with 0, findings with line numbers and 1', async () => {
    const clean = await command('ceremony', 'lint', planFile('generate-fpe-key'), '--json')
    expect(clean.code, clean.stderr).toBe(0)
    expect(JSON.parse(clean.stdout)).toMatchObject({ ok: true, errors: 0 })
    const text = readFileSync(planFile('generate-fpe-key'), 'utf8').replace(
      'quorum: 2',
      'quorum: 1',
    )
    writeFileSync(join(dir, 'weak.yaml'), text)
    const weak = await command('ceremony', 'lint', 'weak.yaml')
    expect(weak.code).toBe(1)
    expect(weak.stdout).toMatch(/^weak\.yaml:\d+:\d+: error [A-Z]+-[A-Z]+-\d+$/m)
  })

  it('prints the paper script, and never over another', async () => {
    const print = ['ceremony', 'print', planFile('generate-fpe-key'), '--out', 'paper', '--json']
    const { code, stdout } = await command(...print)
    expect(code).toBe(0)
    const { files } = JSON.parse(stdout) as { files: { html: string; pdf: string } }
    expect(readFileSync(files.html, 'utf8')).toContain('<html')
    expect(readFileSync(files.pdf).subarray(0, 5).toString()).toBe('%PDF-')
    const again = await command(...print)
    expect(JSON.parse(again.stdout)).toMatchObject({ error: { code: 'OUTPUT_EXISTS' } })
    expect(again.code).toBe(1)
  })

  it('refuses a roster in which two people have one key, or a key for other uses', async () => {
    const good = await command(
      'custodian',
      'roster',
      'check',
      planFile('x').replace('x.yaml', 'allowed_signers'),
    )
    expect(good.code, good.stderr).toBe(0)
    const [line = ''] = readFileSync(planFile('x').replace('x.yaml', 'allowed_signers'), 'utf8')
      .split('\n')
      .filter((text) => text.includes(' ssh-'))
    const [principal = ''] = line.split(' ')
    const [key = ''] = /ssh-\S+ \S+/.exec(line) ?? []
    writeFileSync(join(dir, 'roster'), `${line}\nmallory@site.example ${key}\n`)
    const { code, stdout } = await command('custodian', 'roster', 'check', 'roster', '--json')
    expect(code).toBe(1)
    const { faults } = JSON.parse(stdout) as { faults: string[] }
    expect(faults.join('\n')).toContain(`mallory@site.example and ${principal} have the same key`)
    expect(faults.join('\n')).toContain('without namespaces=')
  })

  it('rehearses on tokens of its own, and refuses a module that is not SoftHSM', async () => {
    const plan = planFile('initialise-tokens')
    const { code, stdout, stderr } = await command(
      'ceremony',
      'rehearse',
      plan,
      '--work',
      'work',
      '--json',
    )
    expect(code, stderr).toBe(0)
    const { rehearsed, softhsmConf } = JSON.parse(stdout) as {
      rehearsed: { outcome: string; dir: string }[]
      softhsmConf: string
    }
    expect(rehearsed.map(({ outcome }) => outcome)).toEqual(['complete'])
    expect(softhsmConf).toBe(join(dir, 'work', 'softhsm2.conf'))
    expect(widest(stderr)).toBeLessThanOrEqual(80)
    // The tokens of the environment were not touched.
    const { tokens } = JSON.parse((await command('token', 'list', '--json')).stdout) as {
      tokens: unknown[]
    }
    expect(tokens).toHaveLength(1)
    const asProduction = await command('ceremony', 'verify', rehearsed[0]!.dir, '--json')
    expect(asProduction.code).toBe(5)
    expect(JSON.parse(asProduction.stdout)).toMatchObject({
      ok: false,
      errors: [{ code: 'REHEARSAL_AS_PRODUCTION' }],
    })
    const report = ['ceremony', 'report', rehearsed[0]!.dir, '--rehearsal', '--out', 'report.html']
    expect((await command(...report)).code).toBe(0)
    expect(readFileSync(join(dir, 'report.html'), 'utf8')).toContain('<html')

    const nss = nssModule()
    try {
      const real = await command(
        'ceremony',
        'rehearse',
        plan,
        '-m',
        nss.module,
        '--work',
        'real',
        '--json',
      )
      expect(real.code).not.toBe(0)
    } finally {
      nss.cleanup()
    }
  })
})

describe('audit', () => {
  it('verifies a bundle’s log, proves an entry, and refuses another key', async () => {
    const bundle = join('work', 'rehearsal', 'initialise-tokens')
    const vkey = ['--vkey', join(bundle, 'vkey')]
    const log = await command('audit', 'verify', bundle, ...vkey, '--json')
    expect(log.code, log.stderr).toBe(0)
    const { size, root } = JSON.parse(log.stdout) as { size: number; root: string }
    expect(
      (await command('audit', 'verify', bundle, ...vkey, '--anchor', `${size}:${root}`)).code,
    ).toBe(0)
    const other = `${size}:${'0'.repeat(64)}`
    expect((await command('audit', 'verify', bundle, ...vkey, '--anchor', other)).code).toBe(5)
    mkdirSync(join(dir, 'proofs'))
    const prove = ['audit', 'prove', bundle, ...vkey, '--index', '3', '--out', 'proofs/3']
    expect((await command(...prove)).code).toBe(0)
    const proof = await command('audit', 'verify', 'proofs/3', ...vkey, '--json')
    expect(JSON.parse(proof.stdout)).toMatchObject({ ok: true, index: 3, size })
    const flipped = readFileSync(join(dir, 'proofs', '3'), 'utf8').replace('index 3', 'index 4')
    writeFileSync(join(dir, 'proofs', 'wrong'), flipped)
    expect((await command('audit', 'verify', 'proofs/wrong', ...vkey)).code).toBe(5)
    const beyond = await command('audit', 'prove', bundle, ...vkey, '--index', '99999', '--json')
    expect(beyond.code).toBe(3)
  })
})
