/** What the shell and the people are told at the end of a ceremony. */
import { describe, expect, it } from 'vitest'

import type { CeremonyOutcome } from '../../src/ceremony/index.ts'
import { report } from '../../src/cli/ceremony-run.ts'
import { createScreen } from '../../src/cli/screen.ts'
import { ConfigError, PolicyError } from '../../src/errors.ts'

function told(outcome: Partial<CeremonyOutcome>): { code: number; text: string } {
  const written: string[] = []
  const screen = createScreen({ write: (text) => written.push(text) }, {})
  const output = {
    json: false,
    text: screen,
    side: screen,
    document: () => undefined,
    documented: false,
  }
  const code = report(output, { outcome: 'complete', dir: 'b', size: 9, root: 'ab', ...outcome })
  return { code, text: written.join('') }
}

describe('the end of a ceremony', () => {
  it('is a success only when every signature and file is there', () => {
    expect(told({})).toMatchObject({
      code: 0,
      text: expect.stringContaining('is complete.') as string,
    })
    const refused = new PolicyError('CONFIRMATION_REFUSED', 'CER-CONFIRM-1', 'no answer')
    const lacking = told({ error: refused })
    expect(lacking.code).toBe(1)
    expect(lacking.text).toContain('signatures or files are missing')
  })

  it('is a failure when it was aborted', () => {
    expect(told({ outcome: 'aborted' }).code).toBe(1)
    expect(told({ outcome: 'aborted', error: new ConfigError('no medium') }).code).toBe(3)
  })
})
