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
      <strong>Aborted</strong
      ><span
        >at step ${abort?.atStep || 'none'}: ${abort?.error.message ?? ''}. The transcript is a
        truthful record of that; nothing more.</span
      >
    </p>`
  }
  return html`<p class="verdict good">
    <strong>Complete</strong><span>Every step was carried out; every requirement below holds.</span>
  </p>`
}

const digest = (name: string, { hexLines, wordLines }: DigestReadOut): Markup =>
  html` <dt>${name}</dt>
    <dd>
      ${hexLines.map((line) => html`<span class="mono words">${line}</span>`)}
      ${wordLines.map((line) => html`<span class="words">${line}</span>`)}
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
  html` <dl>
    <dt>Ceremony</dt>
    <dd>${plan.ceremony}, ${open.time} to ${at.toISOString()}</dd>
    <dt>Transcript</dt>
    <dd><span class="mono">${log.origin}</span>, ${log.size} entries</dd>
    ${digest('Root', readOut(log.root))} ${digest('Plan', readOut(fromHex(open.planSha256)))}
    <dt>Continues</dt>
    <dd class="mono">
      ${open.previous === 'genesis' ? 'nothing: the first of its line' : open.previous}
    </dd>
  </dl>`

const people = (verification: Verification, transcript: Transcript): Markup =>
  html` <h2>Who acted</h2>
    <table>
      <caption>
        People of the binding; approvals and signatures were checked against the roster
      </caption>
      <thead>
        <tr>
          <th scope="col">Person</th>
          <th scope="col">Roles held</th>
          <th scope="col">Acted today as</th>
          <th scope="col">Approvals signed</th>
          <th scope="col">Signed this transcript</th>
        </tr>
      </thead>
      <tbody>
        ${peopleFacts(transcript, verification.signedBy).map(
          ({ name, principal, roles, acted, approvals, signed }) =>
            html`<tr>
              <th scope="row">
                ${name}
                <div class="sub mono">${principal}</div>
              </th>
              <td>${roles.join(', ')}</td>
              <td>${acted.join(', ') || 'did not act'}</td>
              <td class="num">${approvals}</td>
              <td>${signed ? 'yes' : 'no'}</td>
            </tr>`,
        )}
      </tbody>
    </table>`

const hsm = (transcript: Transcript, badge: Badge): Markup =>
  html` <h2>HSM</h2>
    <dl>
      <dt>Module</dt>
      <dd>
        ${transcript.open.module.manufacturerId}, ${transcript.open.module.libraryDescription}
        ${transcript.open.module.libraryVersion}, Cryptoki ${transcript.open.module.cryptokiVersion}
        ${badge('module-reported')}
      </dd>
      <dt>File</dt>
      <dd class="mono">
        ${transcript.open.module.path}<br />sha256 ${transcript.open.module.sha256}
      </dd>
    </dl>
    <table>
      <caption>
        Tokens, as the module reports them
      </caption>
      <thead>
        <tr>
          <th scope="col">Token</th>
          <th scope="col">Label and serial</th>
          <th scope="col">Device</th>
          <th scope="col">User PIN split</th>
          <th scope="col">SO PIN split</th>
        </tr>
      </thead>
      <tbody>
        ${tokenFacts(transcript).map(
          ({ name, label, serial, manufacturer, model, firmware, user, so }) =>
            html`<tr>
              <th scope="row">${name}</th>
              <td>${label}<br /><span class="mono">${serial}</span></td>
              <td>${[manufacturer, model, firmware].filter((part) => part !== '').join(', ')}</td>
              <td>${user}</td>
              <td>${so}</td>
            </tr>`,
        )}
      </tbody>
    </table>`

const STATES: Readonly<Record<string, string>> = {
  birth: 'present, extractable form',
  present: 'present',
  destroyed: 'destroyed',
}

function keys(transcript: Transcript): Markup {
  const facts = keyFacts(transcript)
  if (facts.length === 0)
    return html`<h2>Keys</h2>
      <p>No key is known.</p>`
  return html` <h2>Keys</h2>
    <table>
      <caption>
        State at the end of the ceremony, with key check values
      </caption>
      <thead>
        <tr>
          <th scope="col">Key</th>
          <th scope="col">Role, token</th>
          <th scope="col">State</th>
          <th scope="col">Check value</th>
          <th scope="col">CKA_ID</th>
        </tr>
      </thead>
      <tbody>
        ${facts.map(
          ({ name, role, token, id, state, kcv, method, here }) =>
            html`<tr>
              <th scope="row">${name}</th>
              <td>${role}, ${token}</td>
              <td>${STATES[state]}${here ? '' : ', from before'}</td>
              <td><span class="mono">${kcv}</span> <span class="sub">${method}</span></td>
              <td class="mono">${id}</td>
            </tr>`,
        )}
      </tbody>
    </table>`
}

function copies(transcript: Transcript): Markup {
  const facts = copyFacts(transcript)
  const left = residuals(transcript)
  return html` <h2>Copies and what stays behind</h2>
    ${facts.length === 0 ? html`<p>No wrapped copy of any key is known.</p>` : ''}
    ${
      facts.length > 0
        ? html`<table>
            <caption>
              Wrapped copies known to this line of ceremonies
            </caption>
            <thead>
              <tr>
                <th scope="col">Copy of</th>
                <th scope="col">File and SHA-256</th>
                <th scope="col">Opens with</th>
                <th scope="col">State</th>
              </tr>
            </thead>
            <tbody>
              ${facts.map(
                ({ key, output, sha256, keks, useless }) =>
                  html`<tr>
                    <th scope="row">${key}</th>
                    <td>${output}<br /><span class="mono">${sha256}</span></td>
                    <td>${keks.join(' and ')}</td>
                    <td>
                      ${useless ? 'useless: a key that opens it is destroyed' : 'can be opened'}
                    </td>
                  </tr>`,
              )}
            </tbody>
          </table>`
        : ''
    }
    ${
      left.length > 0
        ? html`<ul>
            ${left.map((item) => html`<li>${item}</li>`)}
          </ul>`
        : ''
    }`
}

/** The first sheet. */
export function pageOne(verification: Verification, transcript: Transcript, badge: Badge): Markup {
  const { warnings, mode } = verification
  const rehearsal =
    mode === 'rehearsal'
      ? html`<p class="notice">
          Rehearsal. No production key was touched, and this can never pass as production.
        </p>`
      : ''
  return html`<section>
    <p class="kicker">Key ceremony report</p>
    <h1>${transcript.plan.title}</h1>
    ${rehearsal} ${verdict(verification, transcript)} ${dualControl(transcript, badge)}
    ${identity(transcript)} ${people(verification, transcript)} ${hsm(transcript, badge)}
    ${keys(transcript)} ${copies(transcript)}
    ${
      warnings.length > 0
        ? html`<h2>What a reader must know</h2>
            <ul>
              ${warnings.map((warning) => html`<li>${warning}</li>`)}
            </ul>`
        : ''
    }
  </section>`
}
