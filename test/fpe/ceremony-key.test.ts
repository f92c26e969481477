/** From the ceremony to the data: the key that generate-fpe-key made encrypts a file by its URI, and can do nothing else. */
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { afterAll, beforeAll, expect, it } from 'vitest'

import { type Ledger, rehearse } from '../../src/ceremony/index.ts'
import { loadModule } from '../../src/pkcs11/index.ts'
import { entriesOf, ledgerOf, userPin } from '../ceremony/cast-pin.ts'
import { clock, random } from '../ceremony/ports.ts'
import { shipped } from '../ceremony/stage.ts'
import { newPin, scratch, softHsm } from '../tokens.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const CONFIG = join(ROOT, 'ceremonies', 'fpe-columns.json')
const softhsm = softHsm()
const workDir = scratch('ceremony-key')
const plain = join(workDir, 'plain.csv')
const masked = join(workDir, 'masked.csv')
const again = join(workDir, 'again.csv')
let ledger: Ledger

beforeAll(async () => {
  await using hsm = await loadModule(softhsm.module)
  const plans = [shipped('generate-fpe-key')]
  const done = await rehearse({ plans, workDir, hsm, clock, random, filesOnly: true })
  const last = done.at(-1)?.outcome
  expect(last?.error?.toJSON()).toBeUndefined()
  ledger = ledgerOf(entriesOf(last?.dir ?? ''))
}, 120_000)

afterAll(() => {
  rmSync(workDir, { recursive: true, force: true })
  softhsm.cleanup()
})

/** Runs `keyrite fpe` with a PIN on its standard input. */
function fpe(pin: Uint8Array, ...args: string[]): { status: number | null; text: string } {
  const common = ['-c', CONFIG, '-m', softhsm.module, '--login-fd', '0']
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(ROOT, 'src/cli/main.ts'), 'fpe', ...args, ...common],
    { input: `${Buffer.from(pin).toString('ascii')}\n`, encoding: 'utf8' },
  )
  return { status, text: stdout + stderr }
}

const quorumPin = (): Promise<Uint8Array> => userPin(workDir, ledger, 'vault')

it('is in the configuration by the name the ceremony gave it, and encrypts single blocks only', async () => {
  const { status, text } = fpe(await quorumPin(), 'check', '--json')
  expect(text).not.toContain('"error"')
  expect(status).toBe(0)
})

it('encrypts a file and decrypts it again, byte for byte', async () => {
  const rows = Array.from({ length: 5000 }, (_, i) => `${i},4111-11${`${i}`.padStart(8, '0')}`)
  const numbers = rows.map((row) => row.replace(/-(\d{2})(\d{2})(\d{4})(\d{2})$/, '-$1$2-$3-$4'))
  const csv = ['id,pan,note', ...numbers.map((row) => `${row}11,"kept, as it is"`), ''].join('\r\n')
  writeFileSync(plain, csv)
  const pin = await quorumPin()
  const encrypted = fpe(pin, 'encrypt', '--column', 'pan', '-i', plain, '-o', masked)
  expect(encrypted).toMatchObject({ status: 0 })
  const [head, first = '', ...others] = readFileSync(masked, 'utf8').trimEnd().split('\r\n')
  expect(head).toBe('id,pan,note,key_version')
  expect(first).toMatch(/^0,4111-11\d\d-\d{4}-\d{4},"kept, as it is",1$/)
  expect(others).toHaveLength(4999)
  expect(first).not.toContain(csv.split('\r\n')[1]?.split(',')[1])
  const decrypted = fpe(pin, 'decrypt', '--column', 'pan', '-i', masked, '-o', again)
  expect(decrypted).toMatchObject({ status: 0 })
  expect(readFileSync(again, 'utf8')).toBe(csv)
})

it('needs the PIN of the quorum', () => {
  const args = ['decrypt', '--column', 'pan', '-i', masked, '-o', join(workDir, 'stolen.csv')]
  const { status, text } = fpe(newPin(), ...args)
  expect(text).toContain('CKR_PIN_INCORRECT')
  expect(status).toBe(4)
})
