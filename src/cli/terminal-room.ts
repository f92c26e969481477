/**
 * The ceremony room on a terminal: who is asked, what for, how far the ceremony is and how long it has
 * taken. Output only ever goes down the screen, so that a recording or a print-out shows what people saw.
 */
import { fromUtf8, equal, wipe } from '../bytes.ts'
import { PolicyError } from '../errors.ts'
import type { Person, Role, Room, StepOutcome, StepView } from '../ceremony/index.ts'
import type { Clock } from '../ports.ts'
import type { SshSigner } from '../quorum/index.ts'
import { type WordsOf, expandDigest } from './digest-text.ts'
import type { Interrupts } from './interrupts.ts'
import type { Keyboard } from './keyboard.ts'
import type { Screen } from './screen.ts'

const TRIES = 3
const BAR_COLUMNS = 20
const MAX_READING_CHARS = 200
/** NIST SP 800-63B-4 §3.1.1.2: least length of a password that is one of two factors (the file is the other). */
const MIN_NEW_SECRET_CHARS = 8

/** What the room is made of. */
export interface TerminalRoomOptions {
  readonly screen: Screen
  readonly keyboard: Keyboard
  readonly interrupts: Interrupts
  readonly clock: Clock
  /** Read-out words for digests. */
  readonly wordsOf: WordsOf
  /** The signing key of a person, as the binding names it. */
  readonly signerOf: (who: Person) => Promise<SshSigner>
}

const pad = (value: number): string => String(value).padStart(2, '0')

/** `h:mm:ss` */
export function elapsedText(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const minutes = Math.floor(seconds / 60)
  return `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(seconds % 60)}`
}

/** `[####------]`, a text progress bar. */
export function bar(done: number, total: number): string {
  const share = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0
  const filled = Math.floor(share * BAR_COLUMNS)
  return `[${'#'.repeat(filled)}${'-'.repeat(BAR_COLUMNS - filled)}]`
}

function refused(who: string, expected: string, got: string): PolicyError {
  return new PolicyError('CONFIRMATION_REFUSED', 'CER-CONFIRM-1', 'the answer was not given', {
    where: `terminal, asking ${who}`,
    expected,
    got,
    hint: 'nothing was done for this question; start the step again when the people agree',
  })
}

/** Whether a hidden entry is a usable new secret; the text never leaves this function. */
function secretFault(secret: Uint8Array, isNew: boolean): string | undefined {
  if (secret.length === 0) return 'nothing was typed'
  let characters = 0
  for (const byte of secret) characters += (byte & 0xc0) === 0x80 ? 0 : 1
  try {
    fromUtf8(secret, 'terminal')
  } catch {
    return 'what was typed is not UTF-8'
  }
  return isNew && characters < MIN_NEW_SECRET_CHARS
    ? `a new secret has at least ${MIN_NEW_SECRET_CHARS} characters`
    : undefined
}

/** A room on the terminal. */
export function createTerminalRoom(options: TerminalRoomOptions): Room {
  const { screen, keyboard, interrupts, clock } = options
  const startedMs = clock.monotonicMs()
  let stepStartedMs = startedMs

  const asked = (who: Person, question: string): void => {
    screen.print()
    screen.print(`>> ${who.id} (${who.name}) is asked:`, { hang: 3, style: 'bold' })
    for (const line of question.split('\n')) screen.print(`   ${line}`, { hang: 3 })
  }
  const open = (): void => {
    if (interrupts.signal.aborted) {
      throw new PolicyError('ABORTED', 'CER-ABORT-1', 'a person stopped the ceremony', {
        where: 'terminal',
      })
    }
  }
  /** Asks until `read` gives a value; after three answers that do not do, refuses. */
  async function threeTimes<Value>(
    who: string,
    expected: string,
    read: (left: number) => Promise<{ value: Value } | { fault: string }>,
  ): Promise<Value> {
    for (let left = TRIES - 1; left >= 0; left -= 1) {
      open()
      const answer = await read(left)
      if ('value' in answer) return answer.value
      const again = left > 0 ? `${left} ${left === 1 ? 'try' : 'tries'} left` : 'refused'
      screen.print(`   no: ${answer.fault}; ${again}`, { hang: 7, style: 'yellow' })
    }
    throw refused(who, expected, `${TRIES} answers that do not match`)
  }
  const secretOnce = (prompt: string): Promise<Uint8Array> =>
    keyboard.secret(() => screen.ask(`   ${prompt} (not shown):`))

  return {
    signal: interrupts.signal,

    show(lines) {
      for (const line of lines) {
        for (const text of expandDigest(line, options.wordsOf)) {
          screen.print(`   ${text}`, { hang: 5 })
        }
      }
    },

    stepStarted(step: StepView) {
      stepStartedMs = clock.monotonicMs()
      const left = `${bar(step.number - 1, step.total)} step ${step.number}/${step.total}  ${step.kind}`
      const right = elapsedText(stepStartedMs - startedMs)
      screen.print()
      screen.print(left.padEnd(Math.max(left.length + 2, screen.columns - right.length)) + right, {
        style: 'bold',
      })
      screen.print(`   ${step.title}`, { hang: 3 })
    },

    stepFinished(step: StepView, outcome: StepOutcome) {
      const took = elapsedText(clock.monotonicMs() - stepStartedMs)
      const text = {
        done: `done: step ${step.number}, ${took}`,
        failed: `FAILED: step ${step.number} (${step.id}), after ${took}`,
        'already-done': `done before: step ${step.number} is in the transcript already`,
      }[outcome]
      screen.print(`   ${text}`, { hang: 5, style: outcome === 'failed' ? 'red' : 'green' })
      if (outcome === 'done' && step.number === step.total) {
        screen.print(`${bar(1, 1)} all ${step.total} steps`, { style: 'bold' })
      }
    },

    progress(label, done, total) {
      screen.print(`   ${done}/${total}  ${label}`, { hang: 5, style: 'dim' })
    },

    async choose(role: Role, need: number, candidates: readonly Person[]) {
      screen.print()
      screen.print(`>> Which ${role}s act today? At least ${need} of:`, { hang: 3, style: 'bold' })
      for (const person of candidates) {
        screen.print(`   ${person.id.padEnd(12)} ${person.name} <${person.principal}>`, {
          hang: 16,
        })
      }
      return threeTimes(role, `at least ${need} of the names shown, no one twice`, async () => {
        screen.ask('   names, separated by spaces:')
        const ids = (await keyboard.line()).split(/[\s,]+/).filter((id) => id !== '')
        const unknown = ids.find((id) => !candidates.some((person) => person.id === id))
        if (unknown !== undefined) return { fault: `nobody here is called ${unknown}` }
        const chosen = candidates.filter((person) => ids.includes(person.id))
        if (chosen.length !== ids.length) return { fault: 'a person is named twice' }
        return chosen.length < need
          ? { fault: `${chosen.length} named, ${need} needed` }
          : { value: chosen }
      })
    },

    async confirm(who, question, phrase) {
      asked(who, question)
      screen.print(`   Type exactly:  ${phrase}`, { hang: 3 })
      await threeTimes(who.id, phrase, async () => {
        screen.ask(`   ${who.id}>`)
        return (await keyboard.line()) === phrase
          ? { value: true }
          : { fault: 'that is not the phrase, letter for letter' }
      })
    },

    async reading(who, question) {
      asked(who, question)
      return threeTimes(who.id, 'one line of text', async () => {
        screen.ask(`   ${who.id}>`)
        const text = (await keyboard.line()).trim()
        if (text === '') return { fault: 'nothing was typed' }
        if (text.length > MAX_READING_CHARS) {
          return { fault: `longer than ${MAX_READING_CHARS} characters` }
        }
        return /\p{Cc}|\p{Cf}/u.test(text)
          ? { fault: 'it holds control characters' }
          : { value: text }
      })
    },

    async passphrase(who, purpose, { again }) {
      asked(who, purpose)
      return threeTimes(who.id, again ? 'the same secret twice' : 'a secret', async () => {
        const secret = await secretOnce(again ? 'choose a passphrase' : 'passphrase')
        const fault = secretFault(secret, again)
        if (fault !== undefined) {
          wipe(secret)
          return { fault }
        }
        if (!again) return { value: secret }
        const repeated = await secretOnce('the same again').catch((error: unknown) => {
          wipe(secret)
          throw error
        })
        const same = equal(secret, repeated)
        wipe(repeated)
        if (same) return { value: secret }
        wipe(secret)
        return { fault: 'the two entries differ' }
      })
    },

    async signer(who) {
      open()
      return options.signerOf(who)
    },
  }
}
