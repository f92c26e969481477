/**
 * `npm run demo`: the main job, from nothing to a transcript that stock tools verify. Every command is
 * printed before it is run, and can be run again by hand. Nothing but the output directory remains.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

import { CLI, ROOT, heading, keyrite, print, run, stop } from './demo-run.ts'
import { searchDemo } from './demo-search.ts'

const PLANS = ['generate-fpe-key', 'wrap-for-distribution', 'zeroise-key']
const started = performance.now()
if (!existsSync(CLI)) stop('dist/ is missing; run npm ci or npm run build first')

/** Tokens live on tmpfs where there is one, and go away at the end; the evidence is kept. */
const scratch = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'keyrite-demo-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))
const work = join(scratch, 'work')
const output = join(ROOT, 'demo-output')
rmSync(output, { recursive: true, force: true })

heading('1. Review: the plans pass lint')
for (const plan of PLANS) keyrite(['ceremony', 'lint', `ceremonies/${plan}.yaml`], { quiet: true })

heading('2. Rehearse: throw-away tokens, a scripted cast of three custodians of whom two act')
keyrite(['ceremony', 'rehearse', ...PLANS.map((plan) => `ceremonies/${plan}.yaml`), '--work', work])
mkdirSync(output)
const rehearsal = join(work, 'rehearsal')
const bundles = readdirSync(rehearsal).filter((name) => existsSync(join(rehearsal, name, 'log')))
for (const name of bundles) cpSync(join(rehearsal, name), join(output, name), { recursive: true })
const shown = (name: string): string => relative(ROOT, join(output, name))
const last = 'zeroise-key'

heading('3. Refused: one custodian alone')
interface RefusedEntry {
  type: string
  name?: string
  data?: {
    custodian: string
    refusals: { by: string; error: string; have?: number; need?: number }[]
  }
}
const transcript = readFileSync(join(output, last, 'log', 'seg', '000000000000.jsonl'), 'utf8')
const negative = transcript
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as RefusedEntry)
  .find(({ type, name }) => type === 'check' && name === 'quorum.negative')
if (negative?.data?.refusals.length !== 2) stop('the lone custodian was not refused twice')
print(`Before the quorum was let in, ${negative.data.custodian} tried alone, with a real share:`)
for (const { by, error, have, need } of negative.data.refusals) {
  const count = have === undefined ? '' : ` (${have} of ${need ?? '?'} shares)`
  print(`  refused by ${by.padEnd(8)} ${error}${count}`)
}

heading('4. Verify with keyrite: no HSM, no network')
keyrite([
  'ceremony',
  'verify',
  shown(last),
  '--rehearsal',
  '--previous',
  shown('wrap-for-distribution'),
])
print('\nA rehearsal never passes as production:')
keyrite(['ceremony', 'verify', shown(last)], { expect: 5, quiet: true })
print('  refused, exit status 5')

heading('5. Verify without keyrite: the commands of VERIFY.md')
const dir = join(output, last)
run(['sha256sum', '--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: dir })
run(
  ['openssl', 'pkeyutl', '-verify', '-pubin', '-inkey', 'hsm.pub', '-rawin'].concat([
    '-in',
    'checkpoint.txt',
    '-sigfile',
    'checkpoint.sig',
  ]) as [string, ...string[]],
  { cwd: dir },
)
const roster = readFileSync(join(dir, 'allowed_signers'), 'utf8')
for (const file of readdirSync(join(dir, 'signatures'))) {
  const person = file.replace(/\.sshsig$/, '')
  const principal = roster
    .split('\n')
    .find((line) => line.startsWith(`${person}@`))
    ?.split(' ')[0]
  const args = ['-Y', 'verify', '-f', 'allowed_signers', '-I', principal ?? person]
  const command: [string, ...string[]] = [
    'ssh-keygen',
    ...args,
    '-n',
    'keyrite-checkpoint',
    '-s',
    `signatures/${file}`,
  ]
  run(command, {
    cwd: dir,
    input: readFileSync(join(dir, 'checkpoint.txt'), 'utf8'),
    shown: `${command.join(' ')} < checkpoint.txt`,
  })
}
const vkey = readFileSync(join(dir, 'vkey'), 'utf8').trim()
run(
  [
    'env',
    'GO111MODULE=off',
    'GOPATH=/usr/share/gocode',
    'GOFLAGS=',
    `GOCACHE=${join(scratch, 'go')}`,
  ].concat(['go', 'run', 'verify.go', 'log', vkey]) as [string, ...string[]],
  {
    cwd: dir,
    shown: 'go run verify.go log "$(cat vkey)"',
  },
)

await searchDemo(scratch)

heading('Where it lies')
for (const name of bundles) {
  print(`  ${name}`)
  print(`    transcript  ${shown(name)}/log/seg/000000000000.jsonl`)
  print(`    script      ${shown(name)}/script.pdf`)
  print(`    report      ${shown(name)}/report.html`)
}
print(
  `\n${((performance.now() - started) / 1000).toFixed(0)} s. The tokens are gone; the evidence stays.`,
)
