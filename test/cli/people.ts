/**
 * People of a test site, with every way to sign: a key file with a passphrase, an ssh-agent, a token of
 * their own, a signature brought from elsewhere. What they type is decided by what the screen asks.
 */
import { execFileSync, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { stringify } from 'yaml'

import type { Terminal } from './terminal.ts'

const CEREMONIES = fileURLToPath(new URL('../../ceremonies/', import.meta.url))

/** A plan shipped with keyrite. */
export const planFile = (name: string): string => join(CEREMONIES, `${name}.yaml`)

const sha256 = (content: string | Uint8Array): string =>
  createHash('sha256').update(content).digest('hex')
const sshKeygen = (...args: string[]): string =>
  execFileSync('ssh-keygen', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
const secret = (): string => randomBytes(12).toString('base64url')

/** Everything a site needs that is not in the repository. */
export interface Site extends AsyncDisposable {
  readonly dir: string
  readonly env: Record<string, string>
  /** What people type where nothing is shown. */
  readonly secrets: {
    readonly sharePassphrase: string
    readonly keyPassphrase: string
    readonly tokenPin: string
    readonly tokenSoPin: string
  }
  readonly roster: string
  /** Writes a binding and returns its path. */
  bind(options: {
    readonly tokens: Record<string, { readonly label: string; readonly serial: string }>
    readonly previous?: { readonly bundle: string; readonly root: string }
  }): string
}

interface Signing {
  readonly signer: object
  readonly publicKey: string
}

/** Makes the people. `carolKey` is the authorized_keys text of the key on carol's own token. */
export function openSite(options: {
  readonly dir: string
  readonly module: string
  readonly softhsmConf: string
  readonly carolKey: string
  readonly tokenPin: string
  readonly tokenSoPin: string
}): Promise<Site> {
  const { dir, module, softhsmConf, carolKey, tokenPin, tokenSoPin } = options
  const secrets = {
    sharePassphrase: `share ${secret()} ü`,
    keyPassphrase: `key-${secret()}`,
    tokenPin,
    tokenSoPin,
  }
  const home = (id: string): string => {
    mkdirSync(join(dir, id), { recursive: true, mode: 0o700 })
    return join(dir, id)
  }
  const key = (id: string, passphrase = ''): { file: string; publicKey: string } => {
    const file = join(home(id), 'id_ed25519')
    sshKeygen('-q', '-t', 'ed25519', '-N', passphrase, '-C', id, '-f', file)
    return { file, publicKey: readFileSync(`${file}.pub`, 'utf8').trim() }
  }
  const age = (id: string): object => {
    const identity = join(home(id), 'age-identity')
    execFileSync('age-keygen', ['-o', identity], { stdio: 'ignore' })
    const recipient = execFileSync('age-keygen', ['-y', identity], { encoding: 'utf8' }).trim()
    return { directory: join(dir, id, 'medium'), lock: { recipient, identity } }
  }
  const byFile = (id: string, passphrase = ''): Signing => {
    const { file, publicKey } = key(id, passphrase)
    return { signer: { file }, publicKey }
  }

  const bob = key('bob')
  const agentSocket = join(dir, 'agent.sock')
  const agent = spawn('ssh-agent', ['-D', '-a', agentSocket], { stdio: 'ignore' })
  const walter = key('walter')
  const signings: Record<string, { roles: string[]; signing: Signing; shares?: object }> = {
    ada: { roles: ['administrator'], signing: byFile('ada') },
    alice: {
      roles: ['custodian'],
      signing: byFile('alice', secrets.keyPassphrase),
      shares: { directory: join(dir, 'alice', 'medium'), lock: 'passphrase' },
    },
    bob: {
      roles: ['custodian'],
      signing: { signer: { agent: `${bob.file}.pub` }, publicKey: bob.publicKey },
      shares: age('bob'),
    },
    carol: {
      roles: ['custodian'],
      signing: {
        signer: { pkcs11: 'pkcs11:token=carol;object=approval;type=private' },
        publicKey: carolKey,
      },
      shares: age('carol'),
    },
    sam: { roles: ['security-officer'], signing: byFile('sam'), shares: age('sam') },
    sue: { roles: ['security-officer'], signing: byFile('sue'), shares: age('sue') },
    sol: { roles: ['security-officer'], signing: byFile('sol'), shares: age('sol') },
    walter: {
      roles: ['witness'],
      signing: { signer: { detached: true }, publicKey: walter.publicKey },
    },
  }
  const roster = Object.entries(signings)
    .map(([id, { signing }]) => {
      const [type = '', blob = ''] = signing.publicKey.split(' ')
      const namespaces = 'namespaces="keyrite-approval,keyrite-checkpoint"'
      return `${id}@site.example ${namespaces} ${type} ${blob}\n`
    })
    .join('')
  const rosterFile = join(dir, 'allowed_signers')
  writeFileSync(rosterFile, roster)
  const policyFile = planFile('policy')
  const env = { SOFTHSM2_CONF: softhsmConf, SSH_AUTH_SOCK: agentSocket, NO_COLOR: '1' }

  const site: Site = {
    dir,
    env,
    secrets,
    roster: rosterFile,
    bind({ tokens, previous }) {
      const file = join(dir, `binding-${Object.keys(tokens).join('-')}.yaml`)
      const people = Object.entries(signings).map(([id, { roles, signing, shares }]) => [
        id,
        {
          name: `${id[0]?.toUpperCase() ?? ''}${id.slice(1)} Ångström`,
          principal: `${id}@site.example`,
          roles,
          signer: signing.signer,
          ...(shares === undefined ? {} : { shares }),
        },
      ])
      writeFileSync(
        file,
        stringify({
          binding: 'test-site',
          mode: 'production',
          organisation: 'site.example',
          module: { path: module, sha256: sha256(readFileSync(module)) },
          tokens,
          people: Object.fromEntries(people) as object,
          roster: { file: rosterFile, sha256: sha256(roster) },
          policy: { file: policyFile, sha256: sha256(readFileSync(policyFile)) },
          ...(previous === undefined ? {} : { previous }),
        }),
      )
      return file
    },
    async [Symbol.asyncDispose]() {
      const gone = new Promise((resolve) => agent.once('exit', resolve))
      agent.kill()
      await gone
    },
  }
  return loadIntoAgent(agentSocket, bob.file).then(() => site)
}

/** Waits for the agent to listen, then gives it a key. */
async function loadIntoAgent(socket: string, file: string): Promise<void> {
  for (let tries = 50; ; tries -= 1) {
    try {
      execFileSync('ssh-add', ['-q', file], {
        env: { ...process.env, SSH_AUTH_SOCK: socket },
        stdio: 'ignore',
      })
      return
    } catch (error) {
      if (tries === 0) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

const PROMPT =
  /(?<names>names, separated by spaces: )|(?<hidden>\(not shown\): )|(?<ssh>Enter passphrase[^\n]*: ?)|(?<detached>\(empty: the same with \.sig\): )|(?<line>\n {3}\w+> )|(?<stop>$^)/

/** Who acts, by role. */
export type Acting = Readonly<Record<string, string>>

/**
 * Plays everybody at the terminal until `until` appears. What is typed follows from the screen alone, as
 * it would for people who read it.
 */
export async function attend(
  terminal: Terminal,
  site: Site,
  acting: Acting,
  until: RegExp,
): Promise<void> {
  const either = new RegExp(PROMPT.source.replace('(?<stop>$^)', `(?<stop>${until.source})`))
  for (;;) {
    const shown = await terminal.expect(either, 60_000)
    const match = either.exec(shown)
    if (match?.groups === undefined) throw new Error('a prompt was seen and is gone')
    const { names, hidden, ssh, detached, line } = match.groups
    if (names !== undefined) {
      const role = /Who acts as ([\w-]+) today/.exec(shown)?.[1] ?? ''
      terminal.type(`${acting[role] ?? ''}\n`)
    } else if (hidden !== undefined) {
      const { tokenPin, sharePassphrase } = site.secrets
      terminal.type(`${shown.includes('PIN of ') ? tokenPin : sharePassphrase}\r`)
    } else if (ssh !== undefined) {
      terminal.type(`${site.secrets.keyPassphrase}\n`)
    } else if (detached !== undefined) {
      const [, namespace = '', file = ''] =
        /ssh-keygen -Y sign -f KEY -n (\S+) (\S+)/.exec(shown) ?? []
      sshKeygen(
        '-q',
        '-Y',
        'sign',
        '-f',
        join(site.dir, 'walter', 'id_ed25519'),
        '-n',
        namespace,
        join(site.dir, file),
      )
      terminal.type('\n')
    } else if (line !== undefined) {
      terminal.type(`${/Type exactly: {2}(.*)/.exec(shown)?.[1] ?? 'what the room sees'}\n`)
    } else {
      return
    }
  }
}
