/** `softhsm/up.sh`: what it makes, what it refuses, and that its kill is a real fault. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'

import { afterAll, describe, expect, test } from 'vitest'

import { scratch, SOFTHSM_MODULE, up } from '../tokens.ts'

const UP = resolve(import.meta.dirname, '..', '..', 'softhsm', 'up.sh')
const dir = scratch('up')
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const run = (args: readonly string[], env: NodeJS.ProcessEnv = process.env) => {
  const { status, stdout, stderr } = spawnSync('bash', [UP, ...args], { encoding: 'utf8', env })
  return { status, stdout, stderr }
}
const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)

describe('--install-only', () => {
  test('is silent when everything is there', () => {
    expect(run(['--install-only'])).toEqual({ status: 0, stdout: '', stderr: '' })
  })

  test('without root prints the one command to run, and fails', () => {
    // A dpkg-query that knows one package only; `su` gives up root when the tests run as root.
    const fake = join(dir, 'bin')
    up(join(dir, 'bin'))
    writeFileSync(join(fake, 'dpkg-query'), '#!/bin/sh\necho "softhsm2 installed"\nexit 1\n')
    chmodSync(join(fake, 'dpkg-query'), 0o755)
    chmodSync(fake, 0o755)
    chmodSync(dir, 0o755)
    const copy = join(fake, 'up.sh')
    writeFileSync(copy, readFileSync(UP))
    const command = `PATH=${fake}:$PATH bash ${copy} --install-only`
    const { status, stderr } =
      process.getuid?.() === 0
        ? spawnSync('su', ['nobody', '-s', '/bin/bash', '-c', command], { encoding: 'utf8' })
        : spawnSync('bash', ['-c', command], { encoding: 'utf8' })
    expect(status).toBe(3)
    const hint = stderr.split('\n').filter((line) => line.startsWith('hint: '))
    expect(hint).toHaveLength(1)
    expect(hint[0]).toMatch(/^hint: run: sudo apt-get install -y( [a-z0-9-]+)+$/)
    for (const one of ['opensc', 'libnss3-tools', 'golang-golang-x-mod-dev', 'age']) {
      expect(hint[0]!.split(' ')).toContain(one)
    }
    expect(hint[0]).not.toContain('softhsm2')
  })
})

describe('SoftHSM2 directory', () => {
  test('is private, and its configuration is what it prints', () => {
    const made = join(dir, 'tokens-a')
    expect(up(made)).toBe(`export SOFTHSM2_CONF='${made}/softhsm2.conf'\n`)
    expect(mode(made)).toBe('700')
    expect(readFileSync(join(made, 'softhsm2.conf'), 'utf8')).toContain(
      `directories.tokendir = ${made}/tokens\n`,
    )
    expect(readdirSync(join(made, 'tokens'))).toEqual([])
  })

  test('is never made over another', () => {
    const made = join(dir, 'tokens-b')
    up(made)
    const { status, stderr } = run([made])
    expect(status).toBe(2)
    expect(stderr).toContain(`error: ${made}/softhsm2.conf exists\nhint: `)
  })

  test('without a name it gets a new one each time', () => {
    const made = [run([]), run([])].map(({ stdout }) => /'(.*)\/softhsm2.conf'/.exec(stdout)?.[1])
    expect(new Set(made).size).toBe(2)
    for (const one of made) {
      expect(mode(one!)).toBe('700')
      rmSync(one!, { recursive: true })
    }
  })
})

describe('--nss', () => {
  test('makes a database whose PIN is in a private file and nowhere else', () => {
    const made = join(dir, 'nss')
    const printed = up('--nss', made)
    const pin = readFileSync(join(made, 'pin'), 'ascii').trim()
    expect(pin).toMatch(/^[0-9a-f]{32}$/)
    expect(mode(join(made, 'pin'))).toBe('600')
    expect(printed).not.toContain(pin)
    expect(printed).toContain(join(made, 'pin'))
    expect(readFileSync(join(made, 'parameters'), 'utf8')).toContain(`configdir='sql:${made}/db'`)
  })
})

describe('--remote', () => {
  /** Living processes of a process group. */
  const alive = (group: string) =>
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => {
        try {
          const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
          const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
          return state !== 'Z' && pgrp === group ? [pid] : []
        } catch {
          return []
        }
      })

  test('kill ends the server and the children its clients hold on to', () => {
    const made = join(dir, 'remote')
    up(made)
    const exported = up('--remote', made, 'start')
    const socket = join(made, 'p11-kit.sock')
    expect(exported).toBe(`export P11_KIT_SERVER_ADDRESS='unix:path=${socket}'\n`)
    const group = readFileSync(join(made, 'p11-kit.pid'), 'utf8').trim()
    expect(alive(group)).toContain(group)
    const again = run(['--remote', made, 'start'])
    expect(again.status).toBe(2)
    expect(again.stderr).toContain('already started')

    up('--remote', made, 'kill')
    expect(alive(group)).toEqual([])
    expect(existsSync(socket)).toBe(false)
    up('--remote', made, 'start')
    up('--remote', made, 'stop')
    up('--remote', made, 'stop')
    expect(existsSync(join(made, 'p11-kit.pid'))).toBe(false)
  })
})

describe('usage', () => {
  test('--help has examples', () => {
    const { status, stdout } = run(['--help'])
    expect(status).toBe(0)
    expect(stdout).toContain('examples:\n  bash softhsm/up.sh --install-only')
  })

  test.each([
    [['--bad'], 'unknown option: --bad'],
    [['--nss'], '--nss takes one directory'],
    [['--remote', dir], '--remote takes a directory and an action'],
    [['--remote', dir, 'pause'], 'unknown action: pause'],
    [['--remote', join(dir, 'none'), 'start'], 'no such directory'],
    [['a', 'b'], 'too many arguments'],
    [["it's"], 'directory name with a quote'],
  ])('%j is refused with a hint', (args, message) => {
    const { status, stderr, stdout } = run(args)
    expect(status).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/^error: .*\nhint: .+\n$/)
    expect(stderr).toContain(message)
  })
})

test('the module it installs is where the tests look', () => {
  expect(existsSync(SOFTHSM_MODULE)).toBe(true)
})
