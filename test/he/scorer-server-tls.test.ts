/** Who may ask a scorer over the network: real TLS, certificates of openssl. */
import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type ClientTls, connectScorer } from '../../src/he/scorer-client.ts'
import { type ServerTls, serveScorer } from '../../src/he/scorer-server.ts'
import { STATE, randomScorer } from './random-scorer.ts'
import { type Authority, type Identity, authority } from './tls-files.ts'

let directory = ''
let own: Authority
let other: Authority
let server: Identity
let client: Identity
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyrite-tls-'))
  own = authority(directory, 'own')
  other = authority(directory, 'other')
  const alternative = 'DNS:localhost,IP:127.0.0.1'
  server = own.issue({ name: 'scorer', alternative, use: 'serverAuth' })
  client = own.issue({ name: 'searcher', use: 'clientAuth' })
})
afterAll(() => rmSync(directory, { recursive: true }))

const serve = (tls: Partial<ServerTls> = {}) =>
  serveScorer({
    scorer: randomScorer(),
    listen: { host: '127.0.0.1', port: 0, tls: { ...server, ca: own.cert, ...tls } },
  })
const connect = (url: string, tls: ClientTls) => connectScorer({ url, tls })
const file = (name: string, content: string) => {
  const path = join(directory, name)
  writeFileSync(path, content)
  return path
}
/** Not the synchronous form: the server is in this process. */
const run = (command: string, ...args: string[]) =>
  new Promise<{ failed: boolean; stdout: string }>((resolve) => {
    const child = execFile(command, args, { timeout: 10_000 }, (error, stdout) =>
      resolve({ failed: error !== null, stdout }),
    )
    child.stdin?.end()
  })
const digestOf = (identity: Identity) => {
  const der = Buffer.from(identity.cert.replaceAll(/-----.*-----|\s/g, ''), 'base64')
  return createHash('sha256').update(der).digest('hex')
}

describe('a scorer without TLS', () => {
  const loose = (listen: object): Promise<unknown> =>
    serveScorer({ scorer: randomScorer(), listen: listen as never })
  const address = { host: '127.0.0.1', port: 0 }

  it.each<[string, () => object, string]>([
    ['no certificates', () => address, 'no key, cert, ca'],
    ['nothing', () => ({}), 'no key, cert, ca'],
    [
      'an address as the command line has it',
      () => 'unix:/x' as unknown as object,
      'no key, cert, ca',
    ],
    ['a path that is not set', () => ({ socket: undefined }), 'no key, cert, ca'],
    ['no authority', () => ({ ...address, tls: server }), 'no ca'],
    ['no key', () => ({ ...address, tls: { cert: server.cert, ca: own.cert } }), 'no key'],
  ])('listens on no port: %s', async (_, listen, got) => {
    const error = { name: 'ConfigError', where: 'listen.tls', got }
    await expect(loose(listen())).rejects.toMatchObject(error)
  })

  it('shows its metrics on no address that is not said', async () => {
    const listen = { socket: join(directory, 'scorer.sock') }
    const operations = { port: 0 } as never
    const serving = serveScorer({ scorer: randomScorer(), listen, operations })
    await expect(serving).rejects.toMatchObject({ name: 'ConfigError' })
  })
})

describe('a scorer behind TLS', () => {
  it('answers a client of its authority', async () => {
    await using listening = await serve()
    expect(listening.address).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
    await using scorer = await connect(listening.address, { ...client, ca: own.cert })
    expect(await scorer.collection('docs')).toEqual(STATE)
  })

  it.each<[string, () => ClientTls]>([
    ['without a certificate', () => ({ ca: own.cert })],
    [
      'of another authority',
      () => ({ ...other.issue({ name: 'searcher', use: 'clientAuth' }), ca: own.cert }),
    ],
    [
      'that is expired',
      () => ({
        ...own.issue({
          name: 'searcher',
          use: 'clientAuth',
          from: '20200101000000Z',
          to: '20200201000000Z',
        }),
        ca: own.cert,
      }),
    ],
    [
      'that is not valid yet',
      () => ({
        ...own.issue({
          name: 'searcher',
          use: 'clientAuth',
          from: '20900101000000Z',
          to: '20910201000000Z',
        }),
        ca: own.cert,
      }),
    ],
    ['for servers', () => ({ ...server, ca: own.cert })],
  ])('refuses a client %s', async (_, tls) => {
    await using listening = await serve()
    await expect(connect(listening.address, tls())).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      got: expect.stringMatching(/^ERR_SSL_|^ECONNRESET|connection lost/) as string,
      hint: expect.stringContaining('certificates') as string,
    })
    // And it goes on with others.
    await using scorer = await connect(listening.address, { ...client, ca: own.cert })
    expect((await scorer.collection('docs')).sequence).toBe(77)
  })

  it('is refused by a client that trusts another authority, or expects another host', async () => {
    await using listening = await serve()
    const wrongCa = connect(listening.address, { ...client, ca: other.cert })
    await expect(wrongCa).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      got: expect.stringMatching(/VERIFY|SELF_SIGNED/) as string,
      hint: expect.stringContaining('certificates') as string,
    })
    const wrongHost = connect(listening.address, {
      ...client,
      ca: own.cert,
      servername: 'elsewhere.test',
    })
    await expect(wrongHost).rejects.toMatchObject({ got: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  })

  it('that is not there is no matter of certificates', async () => {
    const gone = await serve()
    await gone[Symbol.asyncDispose]()
    await expect(connect(gone.address, { ...client, ca: own.cert })).rejects.toMatchObject({
      got: 'ECONNREFUSED',
      hint: expect.not.stringContaining('certificates') as string,
    })
  })

  it('speaks TLS 1.3 only', async () => {
    await using listening = await serve()
    const { port } = new URL(listening.address)
    const versionOf = (version: 'TLSv1.2' | 'TLSv1.3') =>
      new Promise((resolve, reject) => {
        const socket = connectTls({
          ...client,
          host: '127.0.0.1',
          port: Number(port),
          ca: own.cert,
          minVersion: version,
          maxVersion: version,
          ALPNProtocols: ['h2'],
        })
        socket.once('secureConnect', () => {
          resolve(socket.getProtocol())
          socket.destroy()
        })
        socket.once('error', reject)
      })
    await expect(versionOf('TLSv1.2')).rejects.toMatchObject({
      code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
    })
    expect(await versionOf('TLSv1.3')).toBe('TLSv1.3')
    const files = ['-cert', file('c.crt', client.cert), '-key', file('c.key', client.key)]
    const old = await run(
      'openssl',
      's_client',
      '-connect',
      `127.0.0.1:${port}`,
      '-tls1_2',
      ...files,
    )
    expect(old.failed).toBe(true)
    const current = await run(
      'openssl',
      's_client',
      '-connect',
      `127.0.0.1:${port}`,
      '-tls1_3',
      ...files,
    )
    expect(current.stdout).toContain('TLSv1.3')
  })

  it('admits only the names and fingerprints it was given', async () => {
    const named = own.issue({
      name: 'ignored',
      alternative: 'DNS:search.example,URI:spiffe://example/search',
      use: 'clientAuth',
    })
    const wildcard = own.issue({ name: 'w', alternative: 'DNS:*.example', use: 'clientAuth' })
    // A comma and a quote in one entry must not make another.
    const sly = own.issue({
      name: 'sly',
      alternative: 'DNS:a.example,URI:http://x/%22/URI:spiffe://example/search',
      use: 'clientAuth',
    })
    const admitted = async (allow: ServerTls['allow'], identity: Identity) => {
      await using listening = await serve(allow === undefined ? {} : { allow })
      await using scorer = await connect(listening.address, { ...identity, ca: own.cert })
      try {
        return (await scorer.collection('docs')).sequence === 77
      } catch (error) {
        expect(error).toMatchObject({ code: 'UNAVAILABLE', message: 'this client is not admitted' })
        return false
      }
    }
    expect(await admitted({ names: ['search.example'] }, named)).toBe(true)
    expect(await admitted({ names: ['spiffe://example/search'] }, named)).toBe(true)
    expect(await admitted({ names: ['spiffe://example'] }, named)).toBe(false)
    expect(await admitted({ names: ['spiffe://example/search'] }, sly)).toBe(false)
    expect(await admitted({ names: ['search.example'] }, wildcard)).toBe(false)
    // The common name counts only without a DNS name.
    expect(await admitted({ names: ['ignored'] }, named)).toBe(false)
    expect(await admitted({ names: ['searcher'] }, client)).toBe(true)
    expect(await admitted({ names: ['nobody', 'search'] }, client)).toBe(false)
    const digest = digestOf(client)
    expect(await admitted({ fingerprints: [digest] }, client)).toBe(true)
    const colons = digest.toUpperCase().match(/../g)!.join(':')
    expect(await admitted({ fingerprints: [colons] }, client)).toBe(true)
    expect(await admitted({ fingerprints: [digest] }, named)).toBe(false)
  })

  it('does not start with an allow list that is empty or wrong', async () => {
    await expect(serve({ allow: {} })).rejects.toMatchObject({ code: 'CONFIG', where: 'tls.allow' })
    await expect(serve({ allow: { fingerprints: ['ab'] } })).rejects.toMatchObject({
      where: 'tls.allow.fingerprints',
    })
  })

  it('is not asked with a key that belongs to another certificate', async () => {
    await using listening = await serve()
    const wrong = { cert: client.cert, key: server.key, ca: own.cert }
    const asking = connect(listening.address, wrong).then((scorer) => scorer.collection('docs'))
    const expected = expect.stringContaining('belongs to its certificate') as string
    await expect(asking).rejects.toMatchObject({ name: 'ConfigError', where: 'tls', expected })
  })

  it('does not start with a key that is none', async () => {
    const where = 'listen.tls'
    await expect(serve({ key: 'no key' })).rejects.toMatchObject({ code: 'CONFIG', where })
    await expect(serve({ key: client.key })).rejects.toMatchObject({ code: 'CONFIG', where })
    await using listening = await serve()
    await expect(connect(listening.address, { cert: 'x', key: 'x' })).rejects.toMatchObject({
      code: 'CONFIG',
      where: 'tls',
    })
  })

  it('refuses a revoked certificate', async () => {
    const conf = join(directory, 'own.cnf')
    const key = ['-keyfile', join(directory, 'own.key'), '-cert', join(directory, 'own.crt')]
    const revoked = own.issue({ name: 'revoked', use: 'clientAuth' })
    execFileSync(
      'openssl',
      ['ca', '-config', conf, ...key, '-revoke', file('r.crt', revoked.cert)],
      {
        stdio: 'pipe',
      },
    )
    const crl = execFileSync(
      'openssl',
      ['ca', '-config', conf, ...key, '-gencrl', '-crldays', '1'],
      {
        stdio: 'pipe',
        encoding: 'utf8',
      },
    )
    await using listening = await serve({ crl })
    await expect(connect(listening.address, { ...revoked, ca: own.cert })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    })
    await using scorer = await connect(listening.address, { ...client, ca: own.cert })
    expect((await scorer.collection('docs')).sequence).toBe(77)
  })

  it('is no place for plain text', async () => {
    await using listening = await serve()
    const plain = listening.address.replace('https', 'http')
    await expect(connectScorer(plain)).rejects.toMatchObject({ code: 'CONFIG' })
    const curl = await run('curl', '-sS', '-m', '5', '--http2-prior-knowledge', `${plain}/healthz`)
    expect(curl.failed).toBe(true)
  })

  it('shows health to curl with a certificate', async () => {
    await using listening = await serve()
    const options = ['-sS', '-m', '5', '--cacert', file('ca.crt', own.cert)]
    const told = ['-w', ' %{http_code} %{http_version}', `${listening.address}/healthz`]
    const curl = async (...more: string[]) =>
      (await run('curl', ...options, ...more, ...told)).stdout
    const identity = ['--cert', file('k.crt', client.cert), '--key', file('k.key', client.key)]
    expect(await curl(...identity)).toBe('ok\n 200 2')
    expect(await curl()).toMatch(/ 000 /)
  })
})
