/** The ceremony room on a real pseudo-terminal: what is shown, what is hidden, what is refused. */
import { fileURLToPath } from 'node:url'

import { describe, expect, it } from 'vitest'

import { toHex, utf8 } from '../../src/bytes.ts'
import { type Terminal, openTerminal, personalEnv, plainText } from './terminal.ts'

const DRIVER = fileURLToPath(new URL('room-driver.ts', import.meta.url))

async function room(act: string, env: Record<string, string> = {}): Promise<Terminal> {
  const terminal = openTerminal([process.execPath, DRIVER, act], { env: personalEnv(env) })
  await terminal.expect('ready')
  return terminal
}

describe('exact phrase', () => {
  it('accepts the phrase and nothing else', async () => {
    await using terminal = await room('confirm')
    await terminal.expect('>> alice (Alice Ångström) is asked:')
    await terminal.expect('Type exactly:  approve 3.1')
    for (const near of ['Approve 3.1', 'approve 3.1 ']) {
      await terminal.expect('alice>')
      terminal.type(`${near}\n`)
      await terminal.expect('that is not the phrase')
    }
    await terminal.expect('alice>')
    terminal.type('approve 3.1\n')
    await terminal.expect('result=')
    expect(await terminal.exited).toBe(0)
  })

  it('refuses after three tries', async () => {
    await using terminal = await room('confirm')
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await terminal.expect('alice>')
      terminal.type('yes\n')
    }
    await terminal.expect('error=CONFIRMATION_REFUSED')
    expect(await terminal.exited).toBe(1)
  })

  it('takes no answer from a pipe', async () => {
    // setsid: no controlling terminal, so only standard input is left, and it is not asked.
    await using terminal = openTerminal([
      'setsid',
      '-w',
      'sh',
      '-c',
      `echo 'approve 3.1' | ${process.execPath} ${DRIVER} confirm`,
    ])
    await terminal.expect('error=CONFIG')
  })
})

describe('hidden entry', () => {
  const secret = 'Tr0ub4dor & ünïcode'

  it('never echoes, and returns the bytes', async () => {
    await using terminal = await room('secret')
    await terminal.expect('passphrase (not shown):')
    terminal.type(`${secret}\r`)
    await terminal.expect(`result=${toHex(utf8(secret))}`)
    expect(terminal.output).not.toContain('Tr0ub4dor')
    expect(terminal.output).not.toContain('*')
    expect(terminal.output).not.toContain('nïcode')
  })

  it('handles backspace over a multi-byte character, ^U, arrow keys and pasted brackets', async () => {
    await using terminal = await room('secret')
    await terminal.expect('(not shown):')
    terminal.type('wrong\u0015')
    terminal.type('\u001b[200~pässwordü\u001b[201~\u001b[D\u007f\r')
    await terminal.expect(`result=${toHex(utf8('pässword'))}`)
  })

  it('asks twice, tells a difference, and accepts equal entries', async () => {
    await using terminal = await room('twice')
    for (const [first, second] of [
      ['correct horse', 'correct house'],
      ['correct horse', 'correct horse'],
    ]) {
      await terminal.expect('choose a passphrase (not shown):')
      terminal.type(`${first}\r`)
      await terminal.expect('the same again (not shown):')
      terminal.type(`${second}\r`)
    }
    await terminal.expect(`result=${toHex(utf8('correct horse'))}`)
    expect(plainText(terminal.output)).toContain('the two entries differ; 2 tries left')
    expect(terminal.output).not.toMatch(/correct|horse|house/)
  })

  it('refuses a new secret that is short, and an empty one', async () => {
    await using terminal = await room('twice')
    for (const bad of ['short', '', 'a']) {
      await terminal.expect('(not shown):')
      terminal.type(`${bad}\r`)
    }
    await terminal.expect('error=CONFIRMATION_REFUSED')
    expect(plainText(terminal.output)).toContain('a new secret has at least 8 characters')
  })

  it('restores the terminal after ^C and reports an abort', async () => {
    await using terminal = openTerminal([
      'sh',
      '-c',
      `trap '' INT; ${process.execPath} ${DRIVER} secret; stty -a`,
    ])
    await terminal.expect('(not shown):')
    terminal.type('half a sec\u0003')
    await terminal.expect('closing truthfully')
    await terminal.expect('error=ABORTED')
    await terminal.expect(/ icanon/)
    await terminal.expect(/ echo /)
    expect(terminal.output).not.toContain('half')
  })
})

describe('people', () => {
  it('takes names once each, and enough of them', async () => {
    await using terminal = await room('choose')
    await terminal.expect('At least 2 of:')
    for (const [names, fault] of [
      ['alice alice', 'a person is named twice'],
      ['mallory bob', 'nobody here is called mallory'],
    ]) {
      await terminal.expect('names, separated by spaces:')
      terminal.type(`${names}\n`)
      await terminal.expect(fault!)
    }
    await terminal.expect('names, separated by spaces:')
    terminal.type('carol, alice\n')
    await terminal.expect('result=alice+carol')
  })

  it('takes a reading as typed, without the line end', async () => {
    await using terminal = await room('reading')
    await terminal.expect('alice>')
    terminal.type('  14:03 on the wall clock\n')
    await terminal.expect('result=14:03 on the wall clock\r')
  })

  it('end of input is not an answer', async () => {
    await using terminal = await room('confirm')
    await terminal.expect('alice>')
    terminal.type('\u0004')
    await terminal.expect('error=CONFIRMATION_REFUSED')
  })
})

describe('Ctrl-C', () => {
  it('closes first, warns second, stops third', async () => {
    await using terminal = await room('hang')
    terminal.type('\u0003')
    await terminal.expect('closing truthfully')
    await new Promise((resolve) => setTimeout(resolve, 200))
    terminal.type('\u0003')
    await terminal.expect('what would be lost')
    await new Promise((resolve) => setTimeout(resolve, 200))
    terminal.type('\u0003')
    expect(await terminal.exited).toBe(130)
  })

  it('at a visible question ends the question', async () => {
    await using terminal = await room('confirm')
    await terminal.expect('alice>')
    terminal.type('appro\u0003')
    await terminal.expect('error=ABORTED')
  })
})

describe('screen', () => {
  it('stays within 80 columns, marks progress, and defuses foreign control characters', async () => {
    await using terminal = await room('show')
    await terminal.expect('result=')
    const lines = plainText(terminal.output).split('\n')
    expect(Math.max(...lines.map((line) => Array.from(line).length))).toBeLessThan(80)
    expect(lines).toContainEqual(expect.stringMatching(/^\[-{20}\] step 1\/9 {2}do +0:00:00$/))
    expect(lines).toContain('     hex    0bad c0de 0bad c0de  0bad c0de 0bad c0de')
    expect(lines).toContain('     words  alone        perceptive   slowdown     telephone')
    expect(lines).toContain('   label <U+001B>[2Jwipes <U+202E>screen')
    expect(lines).toContainEqual(expect.stringMatching(/FAILED: step 9 \(s1\)/))
  })

  it.each([
    ['NO_COLOR', { NO_COLOR: '1' }],
    ['a dumb terminal', { TERM: 'dumb' }],
  ])('sends no escape sequence with %s', async (_, env) => {
    await using terminal = await room('show', env)
    await terminal.expect('result=')
    expect(terminal.output).not.toContain('\u001b')
    await using asked = await room('secret', { ...env, TERM: 'dumb' })
    await asked.expect('(not shown):')
    asked.type('12345678\r')
    await asked.expect('result=')
    expect(asked.output).not.toContain('\u001b')
  })
})
