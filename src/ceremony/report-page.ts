/** Page one of the report: what was reached, by whom, on which HSM, and what exists now. */
import { fromHex } from '../bytes.ts'
import type { EvidenceClass } from '../types.ts'
import { type DigestReadOut, readOut } from './digest.ts'
import { copyFacts, keyFacts, peopleFacts, residuals, tokenFacts } from './report-facts.ts'
import { type Markup, html } from './report-markup.ts'
import type { Transcript, Verification } from './verify-context.ts'

type Badge = (evidence: EvidenceClass) => Markup

function verdict({ ok, outcome }: Verification, transcript: Transcript): Markup {
  if (!ok) {
    return html`<p class="verdict bad">
      <strong>Does not verify</strong><span>See the failed requirements below.</span>
    </p>`
  }
  if (outcome === 'aborted') {
    const { abort } = transcript
    return html`<p class="verdict other">
      <strong>Aborted</strong>
      <span>
        at step ${abort?.atStep || 'none'}: ${abort?.error.message ?? ''}. The transcript is a
        truthful record of that; nothing more.
      </span>
    </p>`
  }
  return html`<p class="verdict good">
    <strong>Complete</strong><span>Every step was carried out; every requirement below holds.</span>
  </p>`
}

/** A section that stays on one sheet where it can. */
const block = (heading: string, ...content: readonly (Markup | string)[]): Markup =>
  html`<section class="block">
    <h2>${heading}</h2>
    ${content}
  </section>`

/** The first cell of a row is its header. */
const table = (
  caption: string,
  heads: readonly string[],
  rows: readonly (readonly (Markup | string)[])[],
): Markup =>
  html`<table>
    <caption>
      ${caption}
    </caption>
    <thead>
      <tr>
        ${heads.map((head) => html`<th scope="col">${head}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        ([first = '', ...others]) =>
          html`<tr>
            <th scope="row">${first}</th>
            ${others.map((cell) => html`<td>${cell}</td>`)}
          </tr> `,
      )}
    </tbody>
  </table>`

const mono = (text: string): Markup => html`<span class="mono">${text}</span>`

const digest = (name: string, { hexLines, wordLines }: DigestReadOut): Markup =>
  html`<dt>${name}</dt>
    <dd>
      <span class="mono line">${hexLines.join(' ')}</span>
      ${wordLines.map((line) => html`<span class="line">${line}</span>`)}
    </dd>`

function dualControl({ close }: Transcript, badge: Badge): Markup {
  if (close === undefined) {
    return html`<div class="level"><p class="claim">The transcript is not closed.</p></div>`
  }
  const { level, evidence, atRest, session } = close.dualControl
  return html`<div class="level">
    <h3>Dual control reached ${badge(evidence)}</h3>
    <p class="claim">${level}</p>
    <p>${atRest}</p>
    <p class="sub">${session}</p>
  </div>`
}

const identity = ({ log, open, plan, at }: Transcript): Markup =>
  html`<dl>
    <dt>Ceremony</dt>
    <dd>${plan.ceremony}, ${open.time} to ${at.toISOString()}</dd>
    <dt>Transcript</dt>
    <dd>${mono(log.origin)}, ${log.size} entries</dd>
    <dt>Continues</dt>
    <dd>${open.previous === 'genesis' ? 'nothing: the first of its line' : mono(open.previous)}</dd>
    ${digest('Root', readOut(log.root))} ${digest('Plan digest', readOut(fromHex(open.planSha256)))}
  </dl>`

function people(verification: Verification, transcript: Transcript): Markup {
  const facts = peopleFacts(transcript, verification.signedBy)
  const here = facts.filter(({ acted, signed }) => acted.length > 0 || signed)
  const others = facts.filter((person) => !here.includes(person)).map(({ name }) => name)
  return block(
    'Who acted',
    table(
      'Approvals and signatures were checked against the roster',
      ['Person', 'Principal', 'Acted as', 'Approvals', 'Signed this transcript'],
      here.map(({ name, principal, acted, approvals, signed }) => [
        name,
        mono(principal),
        acted.join(', ') || 'did not act',
        String(approvals),
        signed ? 'yes' : 'no',
      ]),
    ),
    others.length === 0 ? '' : html`<p class="sub">Did not act: ${others.join(', ')}.</p>`,
  )
}

const hsm = (transcript: Transcript, badge: Badge): Markup => {
  const { module } = transcript.open
  return block(
    'HSM',
    html`<dl>
      <dt>Module</dt>
      <dd>
        ${module.manufacturerId}, ${module.libraryDescription} ${module.libraryVersion}, Cryptoki
        ${module.cryptokiVersion} ${badge('module-reported')}
      </dd>
      <dt>File</dt>
      <dd>${mono(module.path)}</dd>
      <dt>SHA-256</dt>
      <dd>${mono(module.sha256)} ${badge('crypto-verified')}</dd>
    </dl>`,
    table(
      'Tokens',
      ['Token', 'Label, serial', 'Device', 'User PIN split', 'SO PIN split'],
      tokenFacts(transcript).map(({ name, label, serial, device, user, so }) => [
        name,
        html`${label}, ${mono(serial)}`,
        device,
        user,
        so,
      ]),
    ),
  )
}

/** A digest used as check value is compared by its first digits; the log has all of them. */
const shortValue = (kcv: string): string => (kcv.length > 24 ? `${kcv.slice(0, 16)}…` : kcv)

const STATES: Readonly<Record<string, string>> = {
  birth: 'present, extractable form',
  present: 'present',
  destroyed: 'destroyed',
}

function keys(transcript: Transcript): Markup {
  const facts = keyFacts(transcript)
  if (facts.length === 0) return block('Keys', html`<p>No key is known.</p>`)
  return block(
    'Keys',
    table(
      'State at the end of the ceremony',
      ['Key', 'Role, token', 'State', 'Check value', 'CKA_ID'],
      facts.map(({ name, role, token, id, state, kcv, method, here }) => [
        name,
        `${role}, ${token}`,
        `${STATES[state] ?? state}${here ? '' : ', from before'}`,
        html`${mono(shortValue(kcv))} <span class="sub">${method}</span>`,
        mono(id),
      ]),
    ),
  )
}

function copies(transcript: Transcript): Markup {
  const facts = copyFacts(transcript)
  const left = residuals(transcript)
  return block(
    'Copies and what stays behind',
    facts.length === 0
      ? html`<p>No wrapped copy of any key is known.</p>`
      : table(
          'Wrapped copies known to this line of ceremonies',
          ['Copy of', 'File, SHA-256', 'Opens with', 'State'],
          facts.map(({ key, output, sha256, keks, useless }) => [
            key,
            html`${output} ${mono(sha256)}`,
            keks.join(' and '),
            useless ? 'useless: a key that opens it is destroyed' : 'can be opened',
          ]),
        ),
    left.length === 0
      ? ''
      : html`<ul>
          ${left.map((item) => html`<li>${item}</li>`)}
        </ul>`,
  )
}

function notes(warnings: readonly string[]): Markup | string {
  if (warnings.length === 0) return ''
  const items = warnings.map((warning) => html`<li>${warning}</li>`)
  return block(
    'What a reader must know',
    html`<ul>
      ${items}
    </ul>`,
  )
}

/** The first sheet. */
export function pageOne(verification: Verification, transcript: Transcript, badge: Badge): Markup {
  const rehearsal =
    verification.mode === 'rehearsal'
      ? html`<p class="notice">
          Rehearsal. No production key was touched, and this can never pass as production.
        </p>`
      : ''
  return html`<p class="kicker">Key ceremony report</p>
    <h1>${transcript.plan.title}</h1>
    ${rehearsal} ${verdict(verification, transcript)} ${dualControl(transcript, badge)}
    ${identity(transcript)} ${people(verification, transcript)} ${hsm(transcript, badge)}
    ${keys(transcript)} ${copies(transcript)} ${notes(verification.warnings)}`
}
