/** `keyrite doctor`: what a module is, what it can do, and what it really enforces. */
import type { Command } from 'commander'

import { wipe } from '../bytes.ts'
import { type Dispatch, addCommand } from './command.ts'
import { EXIT } from './exit-code.ts'
import { pkcs11Library } from './libraries.ts'
import { askSecret, personalQuestions } from './questions.ts'

interface DoctorOptions {
  readonly token?: string
  readonly login?: boolean
  readonly libraryParameters?: string
}

/** Adds the command to the tree. */
export function addDoctorCommand(program: Command, dispatch: Dispatch): void {
  addCommand<DoctorOptions>(program, dispatch, {
    usage: 'doctor <module>',
    summary: 'Examine a PKCS#11 module: identity, mechanisms, known answers, what it enforces',
    details:
      'Loads the module in a process of its own. Makes session objects only and destroys them. Exit 4 when the module computes a wrong answer or fails while it is closed.',
    examples: [
      'doctor /usr/lib/softhsm/libsofthsm2.so',
      'doctor /usr/lib/softhsm/libsofthsm2.so --token pkcs11:token=vault --login --json',
    ],
    options: (command) =>
      command
        .option('-t, --token <uri>', 'token to probe; may be left out when there is only one')
        .option('--login', 'ask for the user PIN and probe private objects; the PIN is tried once')
        .option(
          '--library-parameters <text>',
          'for modules that need them at C_Initialize, e.g. NSS',
        ),
    async run({ args: [module = ''], options, output, io }) {
      const { formatDoctorReport, runDoctor } = await pkcs11Library()
      const { token, libraryParameters } = options
      const pin =
        options.login === true
          ? await askSecret(personalQuestions(output.side, io), {
              who: token ?? module,
              prompt: 'user PIN of the token',
            })
          : undefined
      try {
        const report = await runDoctor(module, {
          ...(token === undefined ? {} : { tokenUri: token }),
          ...(pin === undefined ? {} : { pin }),
          ...(libraryParameters === undefined ? {} : { libraryParameters }),
        })
        output.document(report)
        for (const line of formatDoctorReport(report)) output.text.verbatim(line)
        const wrong = report.knownAnswers.some(({ result }) => result === 'mismatch')
        return wrong || report.shutdown !== 'clean' ? EXIT.hsm : EXIT.ok
      } finally {
        wipe(pin)
      }
    },
  })
}
