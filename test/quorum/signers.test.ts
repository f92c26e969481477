/** The four kinds of signer; each signature is also judged by the real ssh-keygen. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { fileURLToPath } from 'node:url'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { concat, utf8 } from '../../src/bytes.ts'
import type { Signer } from '../../src/ports.ts'
import {
  agentKeys,
  agentSigner,
  detachedSigner,
  keyFileSigner,
  parseAllowedSigners,
  sshPublicKey,
  type SshSigner,
  tokenSigner,
  verifySshsig,
} from '../../src/quorum/index.ts'
import { wireString, wireUint32 } from '../../src/quorum/ssh-wire.ts'

import {
  keygen,
  keygenSign,
  keygenVerify,
  softwareSigner,
  thrown,
  workDirectory,
} from './people.ts'

const ON_TERMINAL = fileURLToPath(new URL('on-terminal.py', import.meta.url))
const SIGN = fileURLToPath(new URL('sign-on-terminal.ts', import.meta.url))
const work = workDirectory()
afterAll(work.remove)
const principal = 'alice@keyrite.example'
const message = utf8('checkpoint\n7\nroot\n')

/** Both verifiers accept the signature, and both refuse it over another message. */
async function bothAccept(signer: SshSigner, publicKey: string, what = message): Promise<void> {
  const signature = await signer.sign('keyrite-checkpoint', what)
  const roster = `${principal} ${publicKey}\n`
  const check = { principal, namespace: 'keyrite-checkpoint', signature }
  expect(keygenVerify({ dir: work.dir, roster, message: what, ...check })).toBe(true)
  expect(keygenVerify({ dir: work.dir, roster, message: utf8('x'), ...check })).toBe(false)
  const parsed = parseAllowedSigners(roster)
  const at = new Date()
  expect(verifySshsig({ ...check, message: what, roster: parsed, at }).line).toBe(1)
  const other = { ...check, message: utf8('x'), roster: parsed, at }
  expect(await thrown(() => verifySshsig(other))).toMatchObject({ code: 'SIGNATURE_INVALID' })
}

describe('token signer (any Signer port)', () => {
  test.each(['ed25519', 'ecdsa-p256-sha256'] as const)('%s', async (algorithm) => {
    const port = softwareSigner(algorithm)
    // ECDSA integers vary in length: enough signatures to meet short and padded ones.
    for (let count = 0; count < (algorithm === 'ed25519' ? 1 : 12); count += 1) {
      await bothAccept(tokenSigner(principal, port), sshPublicKey(port), utf8(`message ${count}`))
    }
  })

  test('a device that returns a wrong signature is noticed', async () => {
    const port = softwareSigner('ed25519')
    const other = softwareSigner('ed25519')
    const confused: Signer = { ...port, sign: (data) => other.sign(data) }
    expect(
      await thrown(() => tokenSigner(principal, confused).sign('keyrite-approval', message)),
    ).toMatchObject({ code: 'SIGNING_FAILED' })
  })

  test.each(['', '3000', '30060201ff020101', '3006020100020101ff', '308106020101020101'])(
    'DER %j from a device is refused',
    async (der) => {
      const port = softwareSigner('ecdsa-p256-sha256')
      const sign = () => Promise.resolve(new Uint8Array(Buffer.from(der, 'hex')))
      const error = await thrown(() =>
        tokenSigner(principal, { ...port, sign }).sign('keyrite-approval', message),
      )
      expect(['FORMAT', 'SIGNING_FAILED']).toContain(error['code'])
    },
  )

  test('a public key that does not fit is refused', async () => {
    const port = softwareSigner('ed25519')
    const wrong = { ...port, algorithm: 'ecdsa-p256-sha256' as const }
    expect(await thrown(() => tokenSigner(principal, wrong))).toMatchObject({ code: 'FORMAT' })
    const broken = { ...port, publicKey: port.publicKey.subarray(1) }
    expect(await thrown(() => sshPublicKey(broken))).toMatchObject({ code: 'FORMAT' })
  })
})

describe('key file signer', () => {
  test.each(['ed25519', 'ecdsa', 'rsa'])(
    '%s without passphrase; leaves nothing behind',
    async (type) => {
      const keyFile = work.path(`file-${type}`)
      const publicKey = keygen(keyFile, type, '', type === 'rsa' ? '2048' : undefined)
      const scratch = work.path('.')
      const before = readdirSync(scratch).length
      const signer = keyFileSigner({ principal, keyFile, scratch })
      const signature = await signer.sign('keyrite-checkpoint', message)
      expect(readdirSync(scratch)).toHaveLength(before)
      expect(signature).toContain('BEGIN SSH SIGNATURE')
      await bothAccept(signer, publicKey)
    },
  )

  test('the passphrase of an encrypted key is typed on the terminal, to ssh-keygen alone', () => {
    const keyFile = work.path('encrypted')
    const publicKey = keygen(keyFile, 'ed25519', 'pass phrase')
    const output = work.path('terminal.sig')
    const node = [process.execPath, '--no-warnings', SIGN, keyFile, output]
    const args = [ON_TERMINAL, 'passphrase', ...node]
    const good = spawnSync('python3', args, { input: 'pass phrase\n', encoding: 'utf8' })
    expect(good.status, good.stdout).toBe(0)
    expect(good.stdout).not.toContain('pass phrase')
    const roster = parseAllowedSigners(`${principal} ${publicKey}\n`)
    const signature = readFileSync(output, 'utf8')
    const about = { message: utf8('on a terminal'), namespace: 'keyrite-approval', principal }
    expect(verifySshsig({ signature, ...about, roster, at: new Date() }).line).toBe(1)
    const wrong = spawnSync('python3', args, { input: 'wrong\n', encoding: 'utf8' })
    expect(wrong.status).not.toBe(0)
    expect(wrong.stdout).toContain('SIGNING_FAILED')
  })

  test.each([
    ['a missing key file', { keyFile: work.path('nowhere') }],
    [
      'a missing program',
      { keyFile: work.path('nowhere'), sshKeygen: work.path('no-such-program') },
    ],
    ['a program that writes nothing', { keyFile: work.path('nowhere'), sshKeygen: '/bin/true' }],
  ])('%s', async (_, options) => {
    const signer = keyFileSigner({ principal, ...options })
    expect(await thrown(() => signer.sign('keyrite-approval', message))).toMatchObject({
      code: 'SIGNING_FAILED',
    })
  })
})

describe('ssh-agent signer', () => {
  const socketPath = work.path('agent.sock')
  let agent: ChildProcess
  const environment = { ...process.env, SSH_AUTH_SOCK: socketPath }

  beforeAll(async () => {
    agent = spawn('ssh-agent', ['-D', '-a', socketPath], { stdio: 'ignore' })
    for (let count = 0; count < 100 && !existsSync(socketPath); count += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })
  afterAll(() => agent.kill())

  test.each(['ed25519', 'ecdsa', 'rsa'])('%s', async (type) => {
    const file = work.path(`agent-${type}`)
    const publicKey = keygen(file, type, '', type === 'rsa' ? '2048' : undefined)
    const signer = agentSigner({ principal, socketPath, publicKey })
    expect(await thrown(() => signer.sign('keyrite-approval', message))).toMatchObject({
      code: 'SIGNING_FAILED',
      hint: expect.stringContaining('ssh-add') as string,
    })
    execFileSync('ssh-add', ['-q', file], { env: environment, stdio: 'ignore' })
    await bothAccept(signer, publicKey)
    const keys = await agentKeys({ socketPath })
    expect(keys.some(({ key, comment }) => key !== undefined && comment === 'test')).toBe(true)
  })

  test('a locked agent offers nothing', async () => {
    const file = work.path('agent-locked')
    const publicKey = keygen(file, 'ed25519')
    execFileSync('ssh-add', ['-q', file], { env: environment, stdio: 'ignore' })
    const lock = [': ', 'ssh-add', '-x']
    const options = { env: environment, input: 'secret\n' }
    expect(spawnSync('python3', [ON_TERMINAL, ...lock], options).status).toBe(0)
    const signer = agentSigner({ principal, socketPath, publicKey })
    expect(await thrown(() => signer.sign('keyrite-approval', message))).toMatchObject({
      code: 'SIGNING_FAILED',
    })
    expect(spawnSync('python3', [ON_TERMINAL, ': ', 'ssh-add', '-X'], options).status).toBe(0)
    await bothAccept(signer, publicKey)
  })

  test('no agent', async () => {
    const missing = work.path('no.sock')
    expect(await thrown(() => agentKeys({ socketPath: missing }))).toMatchObject({
      code: 'SIGNING_FAILED',
      where: `ssh-agent at ${missing}`,
    })
  })
})

describe('an agent that lies', () => {
  const frame = (body: Uint8Array) => concat(wireUint32(body.length), body)
  const key = softwareSigner('ed25519')
  const blob = new Uint8Array(Buffer.from(sshPublicKey(key).split(' ')[1]!, 'base64'))
  const identities = frame(
    concat(Uint8Array.of(12), wireUint32(1), wireString(blob), wireString('x')),
  )
  const answering = async (replies: readonly Uint8Array[]): Promise<Server & { path: string }> => {
    const path = work.path(`lie-${Math.random()}.sock`)
    let count = 0
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => socket.end(replies[count++] ?? new Uint8Array()))
    })
    await new Promise<void>((resolve) => server.listen(path, resolve))
    return Object.assign(server, { path })
  }

  test.each([
    ['refuses', [frame(Uint8Array.of(5))]],
    ['says nothing', [new Uint8Array()]],
    ['sends an empty message', [frame(new Uint8Array())]],
    ['announces 4 GiB', [wireUint32(0xffffffff)]],
    ['counts keys it does not send', [frame(concat(Uint8Array.of(12), wireUint32(1000000)))]],
    [
      'sends a string longer than the message',
      [frame(concat(Uint8Array.of(12), wireUint32(1), wireUint32(99)))],
    ],
    ['refuses to sign', [identities, frame(Uint8Array.of(5))]],
    ['signs garbage', [identities, frame(concat(Uint8Array.of(14), wireString('garbage')))]],
    [
      'signs something else',
      [
        identities,
        frame(
          concat(
            Uint8Array.of(14),
            wireString(concat(wireString('ssh-ed25519'), wireString(new Uint8Array(64)))),
          ),
        ),
      ],
    ],
  ])('%s', async (_, replies) => {
    const server = await answering(replies)
    const signer = agentSigner({ principal, socketPath: server.path, publicKey: sshPublicKey(key) })
    expect(await thrown(() => signer.sign('keyrite-approval', message))).toMatchObject({
      code: 'SIGNING_FAILED',
    })
    server.close()
  })

  test('never answers', async () => {
    const path = work.path('silent.sock')
    const server = createServer(() => undefined)
    await new Promise<void>((resolve) => server.listen(path, resolve))
    expect(await thrown(() => agentKeys({ socketPath: path, timeoutMs: 50 }))).toMatchObject({
      message: 'the agent did not answer in time',
    })
    server.close()
  })
})

describe('detached signer', () => {
  const file = work.path('detached')
  const publicKey = keygen(file, 'ed25519')

  test('message goes out, armor comes back, line ends are put right', async () => {
    let offered = new Uint8Array()
    const signer = detachedSigner({
      principal,
      offer: (_, bytes) => {
        offered = new Uint8Array(bytes)
        return Promise.resolve()
      },
      receive: (namespace) =>
        Promise.resolve(keygenSign(file, namespace, offered).replaceAll('\n', '\r\n')),
    })
    await bothAccept(signer, publicKey)
    expect(offered).toEqual(message)
  })

  test('other text is refused', async () => {
    const signer = detachedSigner({
      principal,
      offer: () => Promise.resolve(),
      receive: () => Promise.resolve('yes'),
    })
    expect(await thrown(() => signer.sign('keyrite-approval', message))).toMatchObject({
      code: 'FORMAT',
    })
  })
})
