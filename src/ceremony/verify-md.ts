/**
 * VERIFY.md: how to check a bundle with stock tools. Every `sh` block runs as it stands, in the bundle
 * directory, and fails when the evidence does not hold; a test runs them all.
 */
import { sha256, toHex, utf8 } from '../bytes.ts'
import type { SignatureAlgorithm } from '../ports.ts'
import { BUNDLE, signaturePath } from './bundle.ts'
import { readOut } from './digest.ts'

/** Somebody whose signature is in the bundle. */
export interface GuideSigner {
  readonly id: string
  readonly name: string
  readonly principal: string
}

/** What the guide needs to know about the bundle. */
export interface GuideFacts {
  readonly title: string
  readonly origin: string
  readonly mode: 'production' | 'rehearsal'
  /** Signed size and root of the transcript. */
  readonly size: number
  readonly root: Uint8Array
  /** Entries the HSM's checkpoint covers; less than `size` when the token was gone at the end, 0 without one. */
  readonly hsmSize: number
  readonly algorithm: SignatureAlgorithm | undefined
  /** Time the people's keys must have been valid at, RFC 3339 UTC. */
  readonly time: string
  readonly roster: string
  /** The log key as the bundle has it. */
  readonly keyFiles: readonly { readonly path: string; readonly text: string }[]
  readonly signers: readonly GuideSigner[]
}

/** A word for a POSIX shell; a principal may hold characters the shell would act on. */
const word = (text: string): string =>
  /^[A-Za-z0-9][A-Za-z0-9._@+-]*$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`

/** Text from plan and binding without characters Markdown would act on. */
const plain = (text: string): string => text.replaceAll(/[^\p{L}\p{M}\p{N} .,:;()/'’+&-]/gu, '?')

const sh = (...lines: string[]): string => ['```sh', ...lines, '```'].join('\n')

/** PGP words as a quoted block. */
const words = (digest: Uint8Array): string =>
  readOut(digest)
    .wordLines.map((line) => `    ${line}`)
    .join('\n')

const digest = (text: string): string => toHex(sha256(utf8(text)))

/** ssh-keygen's `verify-time`: YYYYMMDDHHMMSSZ. */
const sshTime = (rfc3339: string): string => `${rfc3339.slice(0, 19).replaceAll(/[-:T]/g, '')}Z`

function hsmSection({ algorithm, hsmSize, size }: GuideFacts): string {
  if (algorithm === undefined || hsmSize === 0) {
    return 'The token signed no checkpoint of this transcript: it ended before there was one. Only the people’s signatures below stand for it.'
  }
  const whole = hsmSize === size
  const { body, sig } = whole
    ? { body: BUNDLE.body, sig: BUNDLE.signature }
    : { body: '"$tmp/body"', sig: '"$tmp/sig"' }
  const openssl =
    algorithm === 'ed25519'
      ? `openssl pkeyutl -verify -pubin -inkey ${BUNDLE.hsmKey} -rawin -in ${body} -sigfile ${sig}`
      : `openssl dgst -sha256 -verify ${BUNDLE.hsmKey} -signature ${sig} ${body}`
  if (whole) {
    return [
      `\`${BUNDLE.body}\` is the text of the signed note \`${BUNDLE.checkpoint}\` (C2SP tlog-checkpoint); \`${BUNDLE.signature}\` is the raw signature of the key in the HSM.`,
      sh(
        `sed '/^$/,$d' ${BUNDLE.checkpoint} | cmp - ${BUNDLE.body} &&`,
        `cmp ${BUNDLE.checkpoint} ${BUNDLE.log}/checkpoint &&`,
        openssl,
      ),
    ].join('\n\n')
  }
  return [
    `**The token was gone when this transcript ended.** It signed the first ${hsmSize} entries; the ${size - hsmSize} after them stand on the people’s signatures alone.`,
    sh(
      'tmp=$(mktemp -d) &&',
      `sed '/^$/,$d' ${BUNDLE.checkpoint} > "$tmp/body" &&`,
      `sed -n 's/^— [^ ]* //p' ${BUNDLE.checkpoint} | base64 -d | tail -c +5 > "$tmp/sig" &&`,
      openssl,
    ),
  ].join('\n\n')
}

function programSection({ algorithm, hsmSize }: GuideFacts): string {
  if (algorithm === undefined || hsmSize === 0) return 'There is no checkpoint by the HSM to check.'
  return [
    `\`${BUNDLE.program}\` is short enough to read first. With Go’s \`x/mod/sumdb/{note,tlog}\` it opens the signed note, computes the root from every line, and proves every earlier checkpoint consistent with this one. Set \`VKEY\` to your own copy of \`${BUNDLE.vkey}\` to trust that one. Proof files of single entries, made with \`keyrite audit prove\`, can be given as further arguments.`,
    sh(
      `GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= \\`,
      `  go run ${BUNDLE.program} ${BUNDLE.log} "$(cat "\${VKEY:-${BUNDLE.vkey}}")"`,
    ),
  ].join('\n\n')
}

function peopleSection({ signers, time }: GuideFacts): string {
  if (signers.length === 0) return 'Nobody has signed this transcript yet.'
  const blocks = signers.map(({ id, name, principal }) =>
    [
      `Signature of ${plain(name)} (\`${id}\`):`,
      sh(
        `ssh-keygen -Y verify -f "\${ROSTER:-${BUNDLE.roster}}" -I ${word(principal)} \\`,
        `  -n keyrite-checkpoint -O verify-time=${sshTime(time)} \\`,
        `  -s ${signaturePath(id)} < ${BUNDLE.body}`,
      ),
    ].join('\n\n'),
  )
  return [
    `Each signature is over \`${BUNDLE.body}\`, in the namespace \`keyrite-checkpoint\`. Keys are judged as of the time of the last entry, ${time}. Set \`ROSTER\` to your own copy of \`${BUNDLE.roster}\` to trust that one.`,
    ...blocks,
  ].join('\n\n')
}

function anchor(path: string, what: string, text: string): string {
  return `\`${path}\`, ${what}. SHA-256 \`${digest(text)}\`:\n\n${words(sha256(utf8(text)))}`
}

function anchors({ roster, keyFiles }: GuideFacts): string {
  return [
    anchor(BUNDLE.roster, 'the people’s keys', roster),
    ...keyFiles.map(({ path, text }) =>
      anchor(path, path === BUNDLE.vkey ? 'the HSM’s log key (C2SP)' : 'the same key (PEM)', text),
    ),
  ].join('\n\n')
}

/** Text of VERIFY.md. */
export function verifyGuide(facts: GuideFacts): string {
  const { origin, title, size, root } = facts
  const rehearsal =
    facts.mode === 'rehearsal' ? '**This is a rehearsal. No production key was touched.**\n\n' : ''
  return `# How to check this bundle without keyrite

${rehearsal}Ceremony: ${plain(title)}
Transcript: \`${origin}\`, ${size} entries
Root: \`${toHex(root)}\`

${words(root)}

Needed: coreutils, openssh-client, openssl, golang-go and golang-golang-x-mod-dev (Debian package
names). No HSM, no network. Run each block in this directory; each exits with 0 only if it holds.

## 1. What you must have from elsewhere

A bundle cannot vouch for itself: whoever makes one can also make keys. Compare these with copies you
got by another way (the printed script, an earlier bundle, the people themselves by telephone):

${anchors(facts)}

## 2. The files are complete and unchanged

${sh(`sha256sum --check --strict --quiet ${BUNDLE.sums}`)}

Nothing was added, and nothing is a link:

${sh(
  `! { cut -c67- ${BUNDLE.sums}; find . -type f ! -path ./${BUNDLE.sums} -printf '%P\\n'; } \\`,
  '  | LC_ALL=C sort | uniq -u | grep . &&',
  '! find . ! -type f ! -type d | grep .',
)}

\`${BUNDLE.sums}\` itself is not signed. What is signed is the transcript, and its first entry holds the
digests of the four documents the ceremony started from:

${sh(
  `for pair in planSha256:${BUNDLE.plan} bindingSha256:${BUNDLE.binding} policySha256:${BUNDLE.policy} rosterSha256:${BUNDLE.roster}; do`,
  '  sum=$(sha256sum < "${pair#*:}" | cut -c1-64)',
  `  head -n 1 ${BUNDLE.log}/seg/000000000000.jsonl | grep -q "\\"\${pair%%:*}\\":\\"$sum\\"" || exit 1`,
  'done',
)}

## 3. The HSM signed the transcript

${hsmSection(facts)}

## 4. The checkpoint is the checkpoint of these entries

${programSection(facts)}

## 5. The people signed the transcript

${peopleSection(facts)}

## 6. What these commands do not show

They show that nothing was changed since it was signed, and by whom. That the entries amount to a
ceremony (steps in order, a quorum behind every call, no approval used twice, shares split again, keys
in the declared state) is checked by

    keyrite ceremony verify .${facts.mode === 'rehearsal' ? ' --rehearsal' : ''} --roster YOUR-COPY --vkey YOUR-COPY

\`${BUNDLE.script}\` is the paper script as printed from the plan; the signed paper is the record, not that file.
`
}
