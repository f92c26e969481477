/** The terminal room of a ceremony command: signals, keyboard, words for digests, people's keys. */
import { toPgpWords } from '../pgp-words.ts'
import type { Binding, Room } from '../ceremony/index.ts'
import { ConfigError } from '../errors.ts'
import type { Hsm } from '../pkcs11/index.ts'
import { type Interrupts, createInterrupts } from './interrupts.ts'
import { type Keyboard, createKeyboard } from './keyboard.ts'
import type { Io, Output } from './output.ts'
import { signerFor } from './person-signer.ts'
import { systemClock } from './system-ports.ts'
import { createTerminalRoom } from './terminal-room.ts'

const CLOSING =
  'STOPPED. The ceremony is being closed truthfully: the transcript will say who stopped it, at which step, and what stays behind. Please wait.'
const WARNING =
  'Still closing. If you leave now, the transcript ends without its last entry and without the signature of the HSM, and a PIN that was put together stays valid. `keyrite ceremony resume` or `abort` takes it up again. Press Ctrl-C once more to leave at once.'

/** A room that stops listening to signals when disposed. */
export interface CeremonyRoom extends Disposable {
  readonly room: Room
  readonly interrupts: Interrupts
}

/** Opens the room for the people of a binding; `detachedDir` is where intents to be signed elsewhere are put. */
export function openRoom(
  { output, io }: { output: Output; io: Io },
  site: { readonly binding: Binding; readonly hsm: Hsm; readonly detachedDir: string },
): CeremonyRoom {
  const screen = output.side
  const interrupts = createInterrupts(
    {
      closing() {
        screen.print()
        screen.print(CLOSING, { style: 'yellow' })
        keyboard.cancel()
      },
      warning() {
        screen.print()
        screen.print(WARNING, { style: 'red' })
        keyboard.cancel()
      },
      kill(status) {
        screen.print('left before the ceremony was closed', { style: 'red' })
        process.exit(status)
      },
    },
    () => systemClock.monotonicMs(),
  )
  const keyboard: Keyboard = createKeyboard({
    onInterrupt: () => interrupts.request(),
    dumb: io.env['TERM'] === 'dumb',
  })
  const questions = { screen, keyboard }
  const room = createTerminalRoom({
    ...questions,
    interrupts,
    clock: systemClock,
    wordsOf: toPgpWords,
    signerOf(who) {
      const bound = site.binding.people[who.id]?.signer
      if (bound === undefined) {
        throw new ConfigError(`${who.id} has no signing key`, {
          where: `binding: people.${who.id}.signer`,
          expected: '{ file }, { agent }, { pkcs11 } or { detached: true }',
          got: 'nothing',
        })
      }
      return signerFor(who, bound, { ...site, questions, agentSocket: io.env['SSH_AUTH_SOCK'] })
    },
  })
  return {
    room,
    interrupts,
    [Symbol.dispose]: () => interrupts[Symbol.dispose](),
  }
}
