/**
 * Attacks that take a key out of the token by C_WrapKey, or bring one in with fewer promises by
 * C_UnwrapKey (PKCS#11 v3.2 §4.10 and the descriptions of both functions).
 */
import type { Template } from './attribute.ts'
import { CKK, CKO } from './constants.ts'
import type { ObjectHandle, SessionHandle } from './cryptoki.ts'
import type { Attack } from './enforcement-attack.ts'
import { SCRATCH_LABEL, only } from './enforcement-bench.ts'
import type { Bench, BooleanAttribute } from './enforcement-bench.ts'
import { allowed, inert } from './enforcement-row.ts'
import type { Outcome } from './enforcement-row.ts'

/** A KEK and the proof that it wraps an ordinary key, so that a refusal is due to the attribute. */
function kekThatWraps(bench: Bench, born: Template = {}): ObjectHandle {
  const kek = bench.aes(['WRAP', 'UNWRAP'], born)
  const ordinary = bench.aes(['ENCRYPT'])
  bench.perform((session) => bench.cryptoki.wrapKey(session, bench.wrap(), kek, ordinary))
  return kek
}

function wrapOut(bench: Bench, promise: Template): Outcome {
  const kek = kekThatWraps(bench)
  const key = bench.aes(['ENCRYPT'], promise)
  return bench.attempt((session) => {
    bench.cryptoki.wrapKey(session, bench.wrap(), kek, key)
  })
}

/** Wraps an ordinary key under `kek` and unwraps it as `into` says; then looks at what came. */
function unwrapAs(
  bench: Bench,
  kek: ObjectHandle,
  into: Template,
  look: (session: SessionHandle, key: ObjectHandle) => Outcome,
): Outcome {
  const { cryptoki } = bench
  const ordinary = bench.aes(['ENCRYPT'])
  const blob = bench.perform((session) => cryptoki.wrapKey(session, bench.wrap(), kek, ordinary))
  return bench.attack((session) =>
    look(session, cryptoki.unwrapKey(session, bench.wrap(), kek, blob, into)),
  )
}

/** Says what a key that came in is, and whether it can be read or wrapped. */
function readable(bench: Bench) {
  return (session: SessionHandle, key: ObjectHandle): Outcome => {
    const flags = (['SENSITIVE', 'EXTRACTABLE'] as const).map(
      (name) => `${name}=${bench.flag(key, name) ?? 'absent'}`,
    )
    const read = bench.readValue(session, key)
    const how = `${flags.join(', ')}; VALUE: ${read.observed}`
    return read.verdict === 'not enforced' || bench.flag(key, 'EXTRACTABLE') === true
      ? allowed(how)
      : inert(how)
  }
}

const STRICT = { SENSITIVE: true, EXTRACTABLE: false } satisfies Template
const LOOSE = { SENSITIVE: false, EXTRACTABLE: true } satisfies Template

/** What C_UnwrapKey needs, and nothing about protection. */
const bare = (bench: Bench): Template => ({
  CLASS: CKO.SECRET_KEY,
  KEY_TYPE: CKK.AES,
  TOKEN: false,
  PRIVATE: bench.loggedIn,
  LABEL: SCRATCH_LABEL,
  ENCRYPT: true,
})

function change(
  bench: Bench,
  born: Template,
  name: BooleanAttribute,
  to: boolean,
  by: 'set' | 'copy',
): Outcome {
  const key = bench.aes(['WRAP', 'ENCRYPT'], born)
  return bench.attack((session) => {
    const template = only(name, to)
    if (by === 'set') bench.cryptoki.setAttributes(session, key, template)
    const changed = by === 'set' ? key : bench.cryptoki.copyObject(session, key, template)
    return bench.flag(changed, name) === to ? allowed() : inert('CKR_OK, without effect')
  })
}

const WEAKER = 'WRAP_WITH_TRUSTED does not keep a key from a host that holds the PIN'

/** See the head of this file. */
export const WRAPPING_ATTACKS: readonly Attack[] = [
  {
    id: 'wrap-unextractable',
    attribute: 'EXTRACTABLE',
    attack: 'wrap a key with EXTRACTABLE=false',
    expected: 'CKR_KEY_UNEXTRACTABLE',
    severity: 'critical',
    needs: 'nothing',
    holds: 'a non-extractable key cannot be wrapped out',
    broken:
      'NON-EXTRACTABLE KEYS CAN BE WRAPPED OUT by whoever can log in, under a key of their own',
    run: (bench) => wrapOut(bench, { EXTRACTABLE: false }),
  },
  {
    id: 'wrap-with-trusted',
    attribute: 'WRAP_WITH_TRUSTED',
    attack: 'wrap a key with WRAP_WITH_TRUSTED=true under an untrusted key',
    expected: 'CKR_KEY_NOT_WRAPPABLE',
    severity: 'warning',
    needs: 'nothing',
    holds: 'such a key can be wrapped only under a key the SO marked as trusted',
    broken: WEAKER,
    run: (bench) => wrapOut(bench, { EXTRACTABLE: true, WRAP_WITH_TRUSTED: true }),
  },
  {
    id: 'set-wrap-with-trusted-off',
    attribute: 'WRAP_WITH_TRUSTED',
    attack: 'set WRAP_WITH_TRUSTED from true to false',
    expected: 'CKR_ATTRIBUTE_READ_ONLY',
    severity: 'warning',
    needs: 'nothing',
    holds: 'WRAP_WITH_TRUSTED stays set',
    broken: WEAKER,
    run: (bench) => change(bench, { WRAP_WITH_TRUSTED: true }, 'WRAP_WITH_TRUSTED', false, 'set'),
  },
  {
    id: 'copy-wrap-with-trusted-off',
    attribute: 'WRAP_WITH_TRUSTED',
    attack: 'copy a key with WRAP_WITH_TRUSTED changed to false',
    expected: 'CKR_ATTRIBUTE_READ_ONLY',
    severity: 'warning',
    needs: 'nothing',
    holds: 'WRAP_WITH_TRUSTED stays set in a copy',
    broken: WEAKER,
    run: (bench) => change(bench, { WRAP_WITH_TRUSTED: true }, 'WRAP_WITH_TRUSTED', false, 'copy'),
  },
  {
    id: 'trusted-by-user',
    attribute: 'TRUSTED',
    attack: 'make a wrapping key with TRUSTED=true without being SO',
    expected: 'CKR_ATTRIBUTE_READ_ONLY',
    severity: 'warning',
    needs: 'nothing',
    holds: 'only the SO can mark a wrapping key as trusted',
    broken: 'a user can mark an own key as trusted, and wrap everything under it',
    run: (bench) => {
      bench.aes(['WRAP'])
      return bench.attack(() => {
        const key = bench.aes(['WRAP'], { TRUSTED: true })
        return bench.flag(key, 'TRUSTED') === true ? allowed() : inert('CKR_OK, TRUSTED not set')
      })
    },
  },
  {
    id: 'unwrap-honours-template',
    attribute: 'SENSITIVE',
    attack: 'unwrap a key as SENSITIVE=true, EXTRACTABLE=false and read it',
    expected: 'CKR_ATTRIBUTE_SENSITIVE',
    severity: 'critical',
    needs: 'nothing',
    holds: 'an unwrapped key is protected as its template says',
    broken: 'an unwrapped key arrives less protected than asked for; it must be tightened at once',
    run: (bench) =>
      unwrapAs(bench, kekThatWraps(bench), bench.template(['ENCRYPT'], STRICT), readable(bench)),
  },
  {
    id: 'unwrap-default',
    attribute: 'SENSITIVE',
    attack: 'unwrap a key without SENSITIVE and EXTRACTABLE in the template',
    expected: 'left open',
    severity: 'note',
    needs: 'nothing',
    holds: 'a template that forgets both attributes still makes a protected key',
    broken: 'a template that forgets either attribute makes an open key; keyrite states both',
    run: (bench) => unwrapAs(bench, kekThatWraps(bench), bare(bench), readable(bench)),
  },
  {
    id: 'unwrap-template',
    attribute: 'UNWRAP_TEMPLATE',
    attack: 'unwrap an open key under a KEK whose UNWRAP_TEMPLATE forbids it',
    expected: 'CKR_TEMPLATE_INCONSISTENT',
    severity: 'critical',
    needs: 'nothing',
    holds: 'a lone PIN holder cannot unwrap a blob into a readable key',
    broken: 'whoever can log in unwraps a blob into a readable key, whatever UNWRAP_TEMPLATE says',
    run: (bench) =>
      unwrapAs(
        bench,
        kekThatWraps(bench, { UNWRAP_TEMPLATE: STRICT }),
        bench.template(['ENCRYPT'], LOOSE),
        readable(bench),
      ),
  },
  {
    id: 'unwrap-template-omitted',
    attribute: 'UNWRAP_TEMPLATE',
    attack: 'unwrap under UNWRAP_TEMPLATE, leaving its attributes out',
    expected: 'the template is applied',
    severity: 'warning',
    needs: 'nothing',
    holds: 'leaving the attributes out does not get round UNWRAP_TEMPLATE',
    broken: 'UNWRAP_TEMPLATE is got round by saying nothing',
    run: (bench) =>
      unwrapAs(
        bench,
        kekThatWraps(bench, { UNWRAP_TEMPLATE: STRICT }),
        bare(bench),
        readable(bench),
      ),
  },
  {
    id: 'set-unwrap-template',
    attribute: 'UNWRAP_TEMPLATE',
    attack: 'replace the UNWRAP_TEMPLATE of a KEK, then unwrap an open key',
    expected: 'CKR_ATTRIBUTE_READ_ONLY',
    severity: 'critical',
    needs: 'nothing',
    holds: 'UNWRAP_TEMPLATE cannot be taken off a KEK',
    broken: 'UNWRAP_TEMPLATE can be taken off a KEK by whoever can log in',
    run: (bench) => {
      const kek = kekThatWraps(bench, { UNWRAP_TEMPLATE: STRICT })
      const replaced = bench.attempt((session) => {
        bench.cryptoki.setAttributes(session, kek, { UNWRAP_TEMPLATE: LOOSE })
      })
      if (replaced.verdict === 'enforced') return replaced
      const after = unwrapAs(bench, kek, bench.template(['ENCRYPT'], LOOSE), readable(bench))
      return after.verdict === 'enforced' ? inert('CKR_OK, without effect') : after
    },
  },
  {
    id: 'wrap-template',
    attribute: 'WRAP_TEMPLATE',
    attack: 'wrap a key that does not match the WRAP_TEMPLATE of the KEK',
    expected: 'CKR_KEY_HANDLE_INVALID',
    severity: 'note',
    needs: 'nothing',
    holds: 'a KEK wraps only keys that match its WRAP_TEMPLATE',
    broken: 'WRAP_TEMPLATE does not limit what a KEK wraps; keyrite does not rely on it',
    run: (bench) => {
      const kek = kekThatWraps(bench, { WRAP_TEMPLATE: { ENCRYPT: true } })
      const other = bench.aes(['DECRYPT'])
      return bench.attempt((session) => {
        bench.cryptoki.wrapKey(session, bench.wrap(), kek, other)
      })
    },
  },
]
