/** Throw-away people, keys and splits for the quorum tests. */
import { execFileSync, spawnSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Random, SignatureAlgorithm, Signer } from '../../src/ports.ts'
import {
  type AllowedSigners,
  type IntentTopic,
  parseAllowedSigners,
  type ShareScope,
  sshPublicKey,
  type SshSigner,
  tokenSigner,
} from '../../src/quorum/index.ts'

export const random: Random = {
  bytes: (length) => Promise.resolve(new Uint8Array(randomBytes(length))),
}

export const scope: Omit<ShareScope, 'of'> = {
  tokenLabel: 'vault',
  tokenSerial: '5b1f00c3a9e2d471',
  pin: 'user',
  epoch: 3,
  threshold: 2,
}
export const holders = ['alice', 'bob', 'carol']

/** A key behind the Signer port, in software: what a custodian's token is to quorum. */
export function softwareSigner(algorithm: SignatureAlgorithm): Signer {
  const { privateKey, publicKey } =
    algorithm === 'ed25519'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    algorithm,
    publicKey: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })),
    sign: (message) =>
      Promise.resolve(
        new Uint8Array(sign(algorithm === 'ed25519' ? null : 'sha256', message, privateKey)),
      ),
  }
}

export interface TestPerson {
  readonly principal: string
  readonly signer: SshSigner
  readonly publicKey: string
}

export function person(name: string, algorithm: SignatureAlgorithm = 'ed25519'): TestPerson {
  const principal = `${name}@keyrite.example`
  const port = softwareSigner(algorithm)
  return { principal, signer: tokenSigner(principal, port), publicKey: sshPublicKey(port) }
}

export const rosterText = (people: readonly TestPerson[]): string =>
  people.map(({ principal, publicKey }) => `${principal} ${publicKey}\n`).join('')

export const rosterOf = (...people: readonly TestPerson[]): AllowedSigners =>
  parseAllowedSigners(rosterText(people))

export const topic: IntentTopic = {
  ceremony: 'c0ffee00c0ffee00',
  mode: 'production',
  planSha256: 'a'.repeat(64),
  bindingSha256: 'b'.repeat(64),
  step: '5',
  action: 'key.generate',
  argsSha256: 'c'.repeat(64),
  logOrigin: 'example.com/ceremony/1',
  logSize: 7,
  logRoot: 'd'.repeat(64),
}

/** A private directory and its removal. */
export function workDirectory(): {
  dir: string
  path: (name: string) => string
  remove: () => void
} {
  const dir = mkdtempSync(join(tmpdir(), 'keyrite-quorum-'))
  return {
    dir,
    path: (name) => join(dir, name),
    remove: () => {
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Makes a key file with ssh-keygen; returns the line of its `.pub` file. */
export function keygen(file: string, type: string, passphrase = '', bits?: string): string {
  const size = bits === undefined ? [] : ['-b', bits]
  execFileSync('ssh-keygen', [
    '-q',
    '-t',
    type,
    ...size,
    '-N',
    passphrase,
    '-C',
    'test',
    '-f',
    file,
  ])
  return readFileSync(`${file}.pub`, 'utf8').trim()
}

/** Signs with the real ssh-keygen. */
export const keygenSign = (
  file: string,
  namespace: string,
  message: Uint8Array,
  options: readonly string[] = [],
): string =>
  execFileSync('ssh-keygen', ['-q', '-Y', 'sign', '-f', file, '-n', namespace, ...options], {
    input: message,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
  })

/** Verifies with the real ssh-keygen: true when it says Good. */
export function keygenVerify(check: {
  dir: string
  roster: string
  principal: string
  namespace: string
  signature: string
  message: Uint8Array
  verifyTime?: string
}): boolean {
  const roster = join(check.dir, 'allowed_signers')
  const signature = join(check.dir, 'verify.sig')
  writeFileSync(roster, check.roster)
  writeFileSync(signature, check.signature)
  const time = check.verifyTime === undefined ? [] : ['-O', `verify-time=${check.verifyTime}`]
  const who = ['-f', roster, '-I', check.principal, '-n', check.namespace, '-s', signature]
  const result = spawnSync('ssh-keygen', ['-Y', 'verify', ...time, ...who], {
    input: check.message,
    encoding: 'utf8',
  })
  return result.status === 0 && result.stdout.startsWith('Good ')
}

/** The error a call throws; fails the test when it does not throw. */
export async function thrown(call: () => unknown): Promise<Record<string, unknown> & Error> {
  try {
    await call()
  } catch (error) {
    return error as Record<string, unknown> & Error
  }
  throw new Error('nothing was thrown')
}
