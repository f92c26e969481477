/** Questions at the terminal: three tries each, nothing accepted that was not typed on purpose. */
import { equal, fromUtf8, wipe } from '../bytes.ts'
import { PolicyError } from '../errors.ts'
import { type Keyboard, createKeyboard } from './keyboard.ts'
import type { Io } from './output.ts'
import type { Screen } from './screen.ts'

/** Answers a person may get wrong before the question is refused. */
const TRIES = 3

/** NIST SP 800-63B-4 §3.1.1.2: least length of a password that is one of two factors (the file is the other). */
export const MIN_PASSPHRASE_CHARS = 8

/** Least length of a PIN of a person's own token, which locks after wrong tries where a passphrase file does not. */
export const MIN_PIN_CHARS = 6

/** The result of one try. */
export type Attempt<Value> = { readonly value: Value } | { readonly fault: string }

/** Where questions are asked. */
export interface Questions {
  readonly screen: Screen
  readonly keyboard: Keyboard
}

/** Questions of a command that is not a ceremony: ^C simply ends it. */
export function personalQuestions(screen: Screen, io: Io): Questions {
  const dumb = io.env['TERM'] === 'dumb'
  return { screen, keyboard: createKeyboard({ onInterrupt: () => undefined, dumb }) }
}

/**
 * Asks until `attempt` gives a value. Throws PolicyError CONFIRMATION_REFUSED after three answers that
 * do not do; `expected` must not be a secret.
 */
export async function threeTimes<Value>(
  { screen }: Pick<Questions, 'screen'>,
  who: string,
  expected: string,
  attempt: () => Promise<Attempt<Value>>,
): Promise<Value> {
  for (let left = TRIES - 1; left >= 0; left -= 1) {
    const answer = await attempt()
    if ('value' in answer) return answer.value
    const again = left > 0 ? `${left} ${left === 1 ? 'try' : 'tries'} left` : 'refused'
    screen.print(`   no: ${answer.fault}; ${again}`, { hang: 7, style: 'yellow' })
  }
  throw new PolicyError('CONFIRMATION_REFUSED', 'CER-CONFIRM-1', 'the answer was not given', {
    where: `terminal, asking ${who}`,
    expected,
    got: `${TRIES} answers that do not match`,
    hint: 'nothing was done for this question; start again when the people agree',
  })
}

/** Why a hidden entry is not usable; the text never leaves this function. */
function secretFault(secret: Uint8Array, leastChars: number): string | undefined {
  if (secret.length === 0) return 'nothing was typed'
  let characters = 0
  for (const byte of secret) characters += (byte & 0xc0) === 0x80 ? 0 : 1
  try {
    fromUtf8(secret, 'terminal')
  } catch {
    return 'what was typed is not UTF-8'
  }
  return characters < leastChars ? `a new secret has at least ${leastChars} characters` : undefined
}

/** How a secret is asked for. */
export interface SecretQuestion {
  /** Person or thing named in the refusal. */
  readonly who: string
  /** Prompt, e.g. `PIN of vault`. */
  readonly prompt: string
  /** A new secret is entered twice and has at least this many characters. */
  readonly isNew?: { readonly leastChars: number }
}

/** A hidden secret; the caller wipes it. */
export function askSecret(questions: Questions, question: SecretQuestion): Promise<Uint8Array> {
  const { screen, keyboard } = questions
  const { who, prompt, isNew } = question
  const once = (text: string): Promise<Uint8Array> =>
    keyboard.secret(() => screen.ask(`   ${text} (not shown):`))
  return threeTimes(questions, who, isNew ? 'the same secret twice' : 'a secret', async () => {
    const secret = await once(prompt)
    let keep = false
    try {
      const fault = secretFault(secret, isNew?.leastChars ?? 0)
      if (fault !== undefined) return { fault }
      if (isNew !== undefined) {
        const repeated = await once('the same again')
        const same = equal(secret, repeated)
        wipe(repeated)
        if (!same) return { fault: 'the two entries differ' }
      }
      keep = true
      return { value: secret }
    } finally {
      if (!keep) wipe(secret)
    }
  })
}
