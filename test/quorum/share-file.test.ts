/** Share files against the stock `age` binary, in both directions, and recovery without keyrite. */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { armor, Decrypter, Encrypter } from 'age-encryption'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { fromUtf8, toHex, utf8 } from '../../src/bytes.ts'
import { ConfigError, QuorumError } from '../../src/errors.ts'
import {
  encodeShareText,
  newShareIdentity,
  openShare,
  parseShareText,
  randomPin,
  sealShare,
  type Share,
  splitSecret,
} from '../../src/quorum/index.ts'

import { holders, random, scope, thrown, workDirectory } from './people.ts'

const ON_TERMINAL = fileURLToPath(new URL('on-terminal.py', import.meta.url))
const RECOVER = fileURLToPath(new URL('recover.py', import.meta.url))
const work = workDirectory()
const passphrase = utf8('correct horse battery')
let secret: Uint8Array
let shares: Share[]
let share: Share

beforeAll(async () => {
  secret = await randomPin(random)
  shares = (await splitSecret(secret, scope, holders)).shares
  share = shares[0]!
})
afterAll(work.remove)

describe('plaintext', () => {
  test('says whose share it is, and parses back', () => {
    const text = fromUtf8(encodeShareText(share))
    expect(text).toMatch(
      new RegExp(
        '^keyrite share v1\nholder: alice\ntoken: vault\nserial: 5b1f00c3a9e2d471\npin: user\nepoch: 3\n' +
          `share: 1 of 3\nthreshold: 2\nvalue: ${toHex(share.value)}\nsalt: ${toHex(share.salt)}\n` +
          'check: [0-9a-f]{8}\nwords: (?:[a-z]+ ){7}[a-z]+\n(?:note: .*\n){3}$',
      ),
    )
    expect(parseShareText(utf8(text))).toEqual(share)
  })

  test('the check digits are what sha256sum prints', () => {
    const text = fromUtf8(encodeShareText(share))
    const above = text.split('\n').slice(0, 10).join('\n')
    const sum = execFileSync('sha256sum', { input: `${above}\n`, encoding: 'utf8' })
    expect(text).toContain(`check: ${sum.slice(0, 8)}\n`)
  })

  test.each([
    [
      'a mistyped digit',
      (text: string) => text.replace(/value: (.)/, (_, d) => `value: ${d === '0' ? '1' : '0'}`),
    ],
    ['another epoch spelling', (text: string) => text.replace('epoch: 3', 'epoch: 03')],
    ['another line end', (text: string) => text.replaceAll('\n', '\r\n')],
    ['a line more', (text: string) => `${text}more: 1\n`],
    ['a missing line', (text: string) => text.replace(/salt: .*\n/, '')],
    ['upper case', (text: string) => text.replace(/value: .*/, (line) => line.toUpperCase())],
    ['no line feed at the end', (text: string) => text.slice(0, -1)],
    ['another holder', (text: string) => text.replace('alice', 'mallory')],
    ['an unknown PIN', (text: string) => text.replace('pin: user', 'pin: root')],
    ['nothing', () => ''],
  ])('%s is refused', async (_, change) => {
    const error = await thrown(() => parseShareText(utf8(change(fromUtf8(encodeShareText(share))))))
    expect(error).toMatchObject({ code: 'SHARE_INVALID' })
  })
})

describe('stock age', () => {
  test('age -d -i opens a share locked for a recipient; openShare opens it too', async () => {
    execFileSync('age-keygen', ['-o', work.path('id')], { stdio: 'ignore' })
    const recipient = execFileSync('age-keygen', ['-y', work.path('id')], {
      encoding: 'utf8',
    }).trim()
    const file = await sealShare(share, { recipient })
    expect(fromUtf8(file)).toMatch(/^-----BEGIN AGE ENCRYPTED FILE-----\n/)
    writeFileSync(work.path('r.age'), file)
    const text = execFileSync('age', ['-d', '-i', work.path('id'), work.path('r.age')])
    expect(parseShareText(new Uint8Array(text))).toEqual(share)
    const identity = new Uint8Array(readFileSync(work.path('id')))
    expect(await openShare(file, { identity })).toEqual(share)
  })

  test('age -d on a terminal opens a share locked with a passphrase', async () => {
    const file = await sealShare(share, { passphrase, workFactor: 12 })
    writeFileSync(work.path('p.age'), file)
    const args = [
      ON_TERMINAL,
      'passphrase',
      'age',
      '-d',
      '-o',
      work.path('p.txt'),
      work.path('p.age'),
    ]
    const line = `${fromUtf8(passphrase)}\n`
    const result = spawnSync('python3', args, { input: line, encoding: 'utf8' })
    expect(result.status, result.stdout).toBe(0)
    expect(parseShareText(new Uint8Array(readFileSync(work.path('p.txt'))))).toEqual(share)
    const wrong = spawnSync('python3', args, { input: 'wrong\n', encoding: 'utf8' })
    expect(wrong.status).not.toBe(0)
  })

  test('a file age made, binary or armored, opens; the default work factor is 18', async () => {
    const { identity, recipient } = await newShareIdentity()
    writeFileSync(work.path('plain'), encodeShareText(share))
    for (const armored of [[], ['-a']]) {
      const file = execFileSync('age', [...armored, '-r', recipient, work.path('plain')])
      expect(await openShare(new Uint8Array(file), { identity })).toEqual(share)
    }
    const sealed = armor.decode(fromUtf8(await sealShare(share, { passphrase })))
    expect(Buffer.from(sealed).toString('latin1')).toMatch(
      /^age-encryption.org\/v1\n-> scrypt \S{22} 18\n/,
    )
  })

  test('two files of three people and 30 lines of Python give the PIN', async () => {
    const { identity, recipient } = await newShareIdentity()
    writeFileSync(work.path('recovery-id'), identity)
    const names: string[] = []
    for (const at of [2, 0]) {
      const file = await sealShare(shares[at]!, { recipient })
      const text = execFileSync('age', ['-d', '-i', work.path('recovery-id')], { input: file })
      names.push(work.path(`recovered-${at}`))
      writeFileSync(names.at(-1)!, text)
    }
    const digits = execFileSync('python3', [RECOVER, ...names], { encoding: 'utf8' })
    expect(digits.trim()).toBe(toHex(secret))
  })
})

describe('the age package', () => {
  test('opens our scrypt files with its own code, and we open its', async () => {
    const ours = await sealShare(share, { passphrase, workFactor: 10 })
    const decrypter = new Decrypter()
    decrypter.addPassphrase(fromUtf8(passphrase))
    expect(parseShareText(await decrypter.decrypt(armor.decode(fromUtf8(ours))))).toEqual(share)

    const encrypter = new Encrypter()
    encrypter.setPassphrase(fromUtf8(passphrase))
    encrypter.setScryptWorkFactor(10)
    const theirs = await encrypter.encrypt(encodeShareText(share))
    expect(await openShare(theirs, { passphrase })).toEqual(share)
  })

  test('post-quantum and hardware (tag) recipients are taken', async () => {
    const recipient = 'age1tag1qwe0kafsjrar4txm6heqnhpfuggzr0gvznz7fvygxrlq90u5mq2pysxtw6h'
    const tagged = armor.decode(fromUtf8(await sealShare(share, { recipient })))
    expect(Buffer.from(tagged).toString('latin1')).toMatch(/^age-encryption.org\/v1\n-> p256tag /)
    const { generateHybridIdentity, identityToRecipient } = await import('age-encryption')
    const identity = await generateHybridIdentity()
    const file = await sealShare(share, { recipient: await identityToRecipient(identity) })
    expect(await openShare(file, { identity: utf8(identity) })).toEqual(share)
  })
})

describe('refusals', () => {
  test.each([
    [
      'a plugin recipient',
      'age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t',
    ],
    [
      'a mistyped tag recipient',
      'age1tag1qwe0kafsjrar4txm6heqnhpfuggzr0gvznz7fvygxrlq90u5mq2pysxtw6q',
    ],
    ['an SSH key', 'ssh-ed25519 AAAA'],
    ['a mistyped recipient', 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q'],
    ['nothing', ''],
  ])('%s cannot be locked for', async (_, recipient) => {
    const error = await thrown(() => sealShare(share, { recipient }))
    expect(error).toBeInstanceOf(ConfigError)
    expect(error['hint']).toContain('age -r')
  })

  test.each([9, 21, 12.5])('work factor %s', async (workFactor) => {
    expect(await thrown(() => sealShare(share, { passphrase, workFactor }))).toBeInstanceOf(
      ConfigError,
    )
  })

  test('an empty passphrase', async () => {
    const lock = { passphrase: new Uint8Array() }
    expect(await thrown(() => sealShare(share, lock))).toBeInstanceOf(ConfigError)
  })

  test('a wrong passphrase or identity names the file', async () => {
    const file = await sealShare(share, { passphrase, workFactor: 10 })
    const wrong = { passphrase: utf8('wrong') }
    const error = await thrown(() => openShare(file, wrong, 'share file of alice'))
    expect(error).toBeInstanceOf(QuorumError)
    expect(error).toMatchObject({ code: 'SHARE_UNREADABLE', where: 'share file of alice' })
    const { identity } = await newShareIdentity()
    expect(await thrown(() => openShare(file, { identity }))).toMatchObject({
      code: 'SHARE_UNREADABLE',
    })
  })

  test.each(['AGE-PLUGIN-YUBIKEY-1QQQQ', 'AGE-SECRET-KEY-1QQQQ', '# only a comment\n', '\u0000'])(
    'identity %j',
    async (text) => {
      const file = await sealShare(share, { passphrase, workFactor: 10 })
      const error = await thrown(() => openShare(file, { identity: utf8(text) }))
      expect(error).toMatchObject({ code: 'SHARE_UNREADABLE' })
      expect(error.cause).toBeUndefined()
    },
  )

  test('a file that opens but is no share', async () => {
    const { identity, recipient } = await newShareIdentity()
    const encrypter = new Encrypter()
    encrypter.addRecipient(recipient)
    const file = await encrypter.encrypt('hello')
    expect(await thrown(() => openShare(file, { identity }))).toMatchObject({
      code: 'SHARE_INVALID',
    })
  })

  test('a file that asks for more work than our limit is refused before the work', async () => {
    const file = armor.decode(fromUtf8(await sealShare(share, { passphrase, workFactor: 10 })))
    const text = Buffer.from(file)
      .toString('latin1')
      .replace(/^(.*\n-> scrypt \S+) 10\n/, '$1 30\n')
    const started = performance.now()
    const heavy = new Uint8Array(Buffer.from(text, 'latin1'))
    expect(await thrown(() => openShare(heavy, { passphrase }))).toMatchObject({
      code: 'SHARE_UNREADABLE',
    })
    expect(performance.now() - started).toBeLessThan(2000)
  })
})
