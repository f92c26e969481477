/** Attacks on SENSITIVE and EXTRACTABLE, and false claims about a key's history (PKCS#11 v3.2 §4.10). */
import type { AttributeName, Template } from './attribute.ts'
import type { Attack } from './enforcement-attack.ts'
import { only } from './enforcement-bench.ts'
import type { Bench, BooleanAttribute } from './enforcement-bench.ts'
import { allowed, inapplicable, inert } from './enforcement-row.ts'
import type { Outcome } from './enforcement-row.ts'

const OPEN = { SENSITIVE: false, EXTRACTABLE: true } satisfies Template

/** Control: a key that promises nothing can be read, so a refusal is due to the attribute. */
function controlReadable(bench: Bench): boolean {
  const control = bench.attack((session) => bench.readValue(session, bench.aes(['ENCRYPT'], OPEN)))
  return control.verdict === 'not enforced'
}

function read(bench: Bench, promise: Template): Outcome {
  const key = bench.aes(['ENCRYPT'], promise)
  const outcome = bench.attack((session) => bench.readValue(session, key))
  return controlReadable(bench)
    ? outcome
    : { ...outcome, observed: `${outcome.observed}, as for every secret key here` }
}

/** C_SetAttributeValue of one boolean; CKR_OK without effect counts as enforced. */
function set(bench: Bench, born: Template, name: BooleanAttribute, to: boolean): Outcome {
  const key = bench.aes(['ENCRYPT'], born)
  return bench.attack((session) => {
    bench.cryptoki.setAttributes(session, key, only(name, to))
    return bench.flag(key, name) === to ? allowed() : inert('CKR_OK, without effect')
  })
}

/** C_CopyObject with one boolean changed. */
function copy(bench: Bench, born: Template, name: BooleanAttribute, to: boolean): Outcome {
  const key = bench.aes(['ENCRYPT'], born)
  return bench.attack((session) => {
    const twin = bench.cryptoki.copyObject(session, key, only(name, to))
    return bench.flag(twin, name) === to ? allowed() : inert('CKR_OK, without effect')
  })
}

/** C_CreateObject with a claim that only the token may make. */
function claim(bench: Bench, name: BooleanAttribute): Outcome {
  bench.imported(['ENCRYPT'])
  return bench.attack(() => {
    const key = bench.imported(['ENCRYPT'], only(name, true))
    switch (bench.flag(key, name)) {
      case true:
        return allowed()
      case false:
        return inert('CKR_OK, claim ignored')
      case undefined:
        return inapplicable('the token does not report the attribute')
    }
  })
}

/** A key that was once open must not be reported as always protected after it is tightened. */
function history(
  bench: Bench,
  loose: Template,
  tighten: Template,
  report: BooleanAttribute,
): Outcome {
  const key = bench.aes(['ENCRYPT'], loose)
  return bench.attack((session) => {
    bench.cryptoki.setAttributes(session, key, tighten)
    switch (bench.flag(key, report)) {
      case true:
        return allowed(`CKA_${report}=true`)
      case false:
        return inert(`CKA_${report}=false`)
      case undefined:
        return inapplicable('the token does not report the attribute')
    }
  })
}

function claimAttack(id: string, name: AttributeName & BooleanAttribute, broken: string): Attack {
  return {
    id,
    attribute: name,
    attack: `import a key that claims ${name}=true`,
    expected: 'CKR_ATTRIBUTE_READ_ONLY',
    severity: 'warning',
    needs: 'nothing',
    holds: `${name} of a key is the token's own statement`,
    broken,
    run: (bench) => claim(bench, name),
  }
}

/** See the head of this file. */
export const SECRECY_ATTACKS: readonly Attack[] = [
  {
    id: 'read-sensitive',
    attribute: 'SENSITIVE',
    attack: 'read VALUE of a key with SENSITIVE=true',
    expected: 'CKR_ATTRIBUTE_SENSITIVE',
    severity: 'critical',
    needs: 'nothing',
    holds: 'a sensitive key cannot be read in plaintext',
    broken: 'every key can be read in plaintext by whoever may use it',
    run: (bench) => read(bench, { SENSITIVE: true, EXTRACTABLE: true }),
  },
  {
    id: 'read-unextractable',
    attribute: 'EXTRACTABLE',
    attack: 'read VALUE of a key with EXTRACTABLE=false, SENSITIVE=false',
    expected: 'CKR_ATTRIBUTE_SENSITIVE',
    severity: 'warning',
    needs: 'nothing',
    holds: 'EXTRACTABLE=false alone keeps the value inside',
    broken: 'EXTRACTABLE=false alone does not hide the value: SENSITIVE must be true as well',
    run: (bench) => read(bench, { SENSITIVE: false, EXTRACTABLE: false }),
  },
  {
    id: 'set-sensitive-off',
    attribute: 'SENSITIVE',
    attack: 'set SENSITIVE from true to false',
    expected: 'CKR_ATTRIBUTE_READ_ONLY',
    severity: 'critical',
    needs: 'nothing',
    holds: 'a sensitive key stays sensitive',
    broken: 'SENSITIVE can be cleared, and the key read',
    run: (bench) => set(bench, { SENSITIVE: true }, 'SENSITIVE', false),
  },
  {
    id: 'set-extractable-on',
    attribute: 'EXTRACTABLE',
    attack: 'set EXTRACTABLE from false to true',
    expected: 'CKR_ATTRIBUTE_READ_ONLY',
    severity: 'critical',
    needs: 'nothing',
    holds: 'a non-extractable key stays non-extractable',
    broken: 'EXTRACTABLE can be set, and the key wrapped out',
    run: (bench) => set(bench, { EXTRACTABLE: false }, 'EXTRACTABLE', true),
  },
  {
    id: 'copy-sensitive-off',
    attribute: 'SENSITIVE',
    attack: 'copy a key with SENSITIVE changed to false',
    expected: 'CKR_ATTRIBUTE_READ_ONLY',
    severity: 'critical',
    needs: 'nothing',
    holds: 'a copy is as sensitive as its original',
    broken: 'a copy of a sensitive key can be read',
    run: (bench) => copy(bench, { SENSITIVE: true }, 'SENSITIVE', false),
  },
  {
    id: 'copy-extractable-on',
    attribute: 'EXTRACTABLE',
    attack: 'copy a key with EXTRACTABLE changed to true',
    expected: 'CKR_ATTRIBUTE_READ_ONLY',
    severity: 'critical',
    needs: 'nothing',
    holds: 'a copy is as little extractable as its original',
    broken: 'a copy of a non-extractable key can be wrapped out',
    run: (bench) => copy(bench, { EXTRACTABLE: false }, 'EXTRACTABLE', true),
  },
  {
    id: 'always-sensitive-honest',
    attribute: 'ALWAYS_SENSITIVE',
    attack: 'make a readable key SENSITIVE afterwards',
    expected: 'CKA_ALWAYS_SENSITIVE=false',
    severity: 'warning',
    needs: 'nothing',
    holds: 'ALWAYS_SENSITIVE=true means that the key was never readable',
    broken: 'ALWAYS_SENSITIVE=true is worth nothing as evidence',
    run: (bench) => history(bench, OPEN, { SENSITIVE: true }, 'ALWAYS_SENSITIVE'),
  },
  {
    id: 'never-extractable-honest',
    attribute: 'NEVER_EXTRACTABLE',
    attack: 'make an extractable key non-extractable afterwards',
    expected: 'CKA_NEVER_EXTRACTABLE=false',
    severity: 'warning',
    needs: 'nothing',
    holds: 'NEVER_EXTRACTABLE=true means that the key could never be wrapped out',
    broken: 'NEVER_EXTRACTABLE=true is worth nothing as evidence',
    run: (bench) => history(bench, OPEN, { EXTRACTABLE: false }, 'NEVER_EXTRACTABLE'),
  },
  claimAttack(
    'claim-local',
    'LOCAL',
    'an imported key can pass for one that was born in the token',
  ),
  claimAttack(
    'claim-always-sensitive',
    'ALWAYS_SENSITIVE',
    'an imported key can pass for one that was never outside',
  ),
  claimAttack(
    'claim-never-extractable',
    'NEVER_EXTRACTABLE',
    'an imported key can pass for one that could never leave',
  ),
  {
    id: 'wrong-check-value',
    attribute: 'CHECK_VALUE',
    attack: 'import a key with a wrong CHECK_VALUE',
    expected: 'CKR_ATTRIBUTE_VALUE_INVALID',
    severity: 'note',
    needs: 'nothing',
    holds: 'the token checks CHECK_VALUE',
    broken: 'CHECK_VALUE is whatever was written; keyrite computes its own check values',
    run: (bench) => {
      bench.imported(['ENCRYPT'])
      return bench.attack((session) => {
        const wrong = new Uint8Array(3)
        const key = bench.imported(['ENCRYPT'], { CHECK_VALUE: wrong })
        const stored = bench.cryptoki.getAttributes(session, key, ['CHECK_VALUE'])
        const value = stored.value('CHECK_VALUE')
        return value?.length === wrong.length && value.every((byte) => byte === 0)
          ? allowed('allowed: stored as given')
          : notStored(value)
      })
    },
  },
]

const notStored = (value: Uint8Array | undefined): Outcome =>
  value === undefined || value.length === 0
    ? inert('CKR_OK, CHECK_VALUE absent')
    : inert('CKR_OK, replaced by the true value')
