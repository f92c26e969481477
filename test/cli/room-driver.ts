/** Runs the terminal room without a ceremony, for terminal.test.ts. argv: what to do. */
import { toHex } from '../../src/bytes.ts'
import { createInterrupts } from '../../src/cli/interrupts.ts'
import { createKeyboard } from '../../src/cli/keyboard.ts'
import { createScreen } from '../../src/cli/screen.ts'
import { systemClock } from '../../src/cli/system-ports.ts'
import { createTerminalRoom } from '../../src/cli/terminal-room.ts'
import type { Person } from '../../src/ceremony/room.ts'
import { KeyriteError } from '../../src/errors.ts'
import { toPgpWords } from '../../src/pgp-words.ts'

const screen = createScreen(process.stderr, process.env)
const interrupts = createInterrupts(
  {
    closing() {
      screen.print('closing truthfully')
      keyboard.cancel()
    },
    warning: () => screen.print('what would be lost'),
    kill: (status) => process.exit(status),
  },
  () => performance.now(),
)
const keyboard = createKeyboard({
  onInterrupt: () => interrupts.request(),
  dumb: process.env['TERM'] === 'dumb',
})
const room = createTerminalRoom({
  screen,
  keyboard,
  interrupts,
  clock: systemClock,
  wordsOf: toPgpWords,
  signerOf: () => Promise.reject(new Error('no signer')),
})
const person = (id: string, name: string): Person => ({
  id,
  name,
  principal: `${id}@keyrite.example`,
  roles: ['custodian'],
})
const alice = person('alice', 'Alice Ångström')
const people = [alice, person('bob', 'Bob'), person('carol', 'Carol')]

const acts: Record<string, () => Promise<unknown>> = {
  confirm: () => room.confirm(alice, 'Approve the plan?', 'approve 3.1'),
  secret: async () => toHex(await room.passphrase(alice, 'share of vault', { again: false })),
  twice: async () => toHex(await room.passphrase(alice, 'new share of vault', { again: true })),
  reading: () => room.reading(alice, 'What does the clock on the wall say?'),
  choose: async () => (await room.choose('custodian', 2, people)).map(({ id }) => id).join('+'),
  show: () => {
    const step = {
      id: 's1',
      number: 1,
      total: 9,
      kind: 'do',
      title: `Generate ${'the key '.repeat(20)}`,
    } as const
    room.stepStarted(step)
    room.progress('Alice approves: a rather long title of a step that is being approved now', 1, 3)
    room.show([`Plan digest: sha256:${'0badc0de'.repeat(8)}`, 'label \u001b[2Jwipes \u202Escreen'])
    room.stepFinished(step, 'done')
    room.stepFinished({ ...step, number: 9 }, 'failed')
    return Promise.resolve()
  },
  /** Never answers: only interrupts end it. */
  hang: () => new Promise(() => setInterval(() => undefined, 1000)),
}

try {
  process.stdout.write(`ready\n`)
  const value = await acts[process.argv[2] ?? '']?.()
  process.stdout.write(`result=${String(value)}\n`)
} catch (error) {
  process.stdout.write(`error=${error instanceof KeyriteError ? error.code : String(error)}\n`)
  process.exitCode = 1
} finally {
  interrupts[Symbol.dispose]()
}
