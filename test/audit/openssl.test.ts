import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { parseNote } from '../../src/note.ts'
import { makeLog, scratch } from './scratch.ts'
import { ORIGIN, freshKey } from './software-keys.ts'

const { fresh } = scratch()

describe('stock openssl', () => {
  it.each(['ed25519', 'ecdsa-p256-sha256'] as const)(
    'verifies the %s signature over the checkpoint body, and refuses another body',
    async (algorithm) => {
      const key = freshKey(ORIGIN, algorithm)
      const dir = fresh()
      await makeLog(dir, 3, [3], key.noteSigner)
      const { text, signatures } = parseNote(readFileSync(join(dir, 'checkpoint')))
      const path = (name: string) => join(dir, name)
      writeFileSync(path('key.pem'), key.pem)
      writeFileSync(path('signature'), signatures[0]!.signature)
      const verify = (body: string) => {
        writeFileSync(path('body'), body)
        const args =
          algorithm === 'ed25519'
            ? [
                'pkeyutl',
                '-verify',
                '-pubin',
                '-inkey',
                path('key.pem'),
                '-rawin',
                '-in',
                path('body'),
                '-sigfile',
                path('signature'),
              ]
            : [
                'dgst',
                '-sha256',
                '-verify',
                path('key.pem'),
                '-signature',
                path('signature'),
                path('body'),
              ]
        return spawnSync('openssl', args, { encoding: 'utf8' }).status
      }
      expect(verify(text)).toBe(0)
      expect(verify(text.replace('\n3\n', '\n2\n'))).toBe(1)
    },
  )
})
