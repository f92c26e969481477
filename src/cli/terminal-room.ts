/**
 * The ceremony room on a terminal: who is asked, what for, how far the ceremony is and how long it has
 * taken. Output only ever goes down the screen, so that a recording or a print-out shows what people saw.
 */
import type { Person, Role, Room, StepOutcome, StepView } from '../ceremony/index.ts'
import type { Clock } from '../ports.ts'
import type { SshSigner } from '../quorum/index.ts'
import { type WordsOf, expandDigest } from './digest-text.ts'
import type { Interrupts } from './interrupts.ts'
import type { Keyboard } from './keyboard.ts'
import { type Attempt, MIN_PASSPHRASE_CHARS, askSecret, threeTimes } from './questions.ts'
import type { Screen } from './screen.ts'

const BAR_COLUMNS = 20
const MAX_READING_CHARS = 200

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

/** A room on the terminal. */
export function createTerminalRoom(options: TerminalRoomOptions): Room {
  const { screen, keyboard, interrupts, clock } = options
  const startedMs = clock.monotonicMs()
  let stepStartedMs = startedMs
  let inStep = false

  const asked = (who: Person, question: string): void => {
    screen.print()
    screen.print(`>> ${who.id} (${who.name}) is asked:`, { hang: 3, style: 'bold' })
    for (const line of question.split('\n')) screen.print(`   ${line}`, { hang: 3 })
  }
  /** A stopped step asks nobody anything more; closing the ceremony afterwards may still ask for signatures. */
  const open = (): void => {
    if (inStep) interrupts.signal.throwIfAborted()
  }
  const ask = <Value>(
    who: string,
    expected: string,
    attempt: () => Promise<Attempt<Value>>,
  ): Promise<Value> =>
    threeTimes(options, who, expected, () => {
      open()
      return attempt()
    })

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
      inStep = true
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
      inStep = false
      const took = elapsedText(clock.monotonicMs() - stepStartedMs)
      const text = {
        done: `done: step ${step.number}, ${took}`,
        failed: `FAILED: step ${step.number} (${step.id}), after ${took}`,
        'already-done': `done before: step ${step.number} is in the transcript already`,
      }[outcome]
      screen.print(`   ${text}`, { hang: 5, style: outcome === 'failed' ? 'red' : 'green' })
    },

    progress(label, done, total) {
      screen.print(`   ${done}/${total}  ${label}`, { hang: 5, style: 'dim' })
    },

    async choose(role: Role, need: number, candidates: readonly Person[]) {
      screen.print()
      screen.print(`>> Who acts as ${role} today? At least ${need} of:`, { hang: 3, style: 'bold' })
      for (const person of candidates) {
        screen.print(`   ${person.id.padEnd(12)} ${person.name} <${person.principal}>`, {
          hang: 16,
        })
      }
      return ask(role, `at least ${need} of the names shown, no one twice`, async () => {
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
      await ask(who.id, phrase, async () => {
        screen.ask(`   ${who.id}>`)
        return (await keyboard.line()) === phrase
          ? { value: true }
          : { fault: 'that is not the phrase, letter for letter' }
      })
    },

    async reading(who, question) {
      asked(who, question)
      return ask(who.id, 'one line of text', async () => {
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
      open()
      return askSecret(options, {
        who: who.id,
        prompt: again ? 'choose a passphrase' : 'passphrase',
        ...(again ? { isNew: { leastChars: MIN_PASSPHRASE_CHARS } } : {}),
      })
    },

    async signer(who) {
      open()
      return options.signerOf(who)
    },
  }
}
