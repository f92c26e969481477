/**
 * The linter tells keys apart by role alone (KEY-WRAP-2, KEY-FORM-*), without loading a PKCS#11 module. That
 * is right only while the templates say what the roles promise; this holds the two together.
 */
import { describe, expect, it } from 'vitest'

import { keyRole } from '../../src/ceremony/plan-schema.ts'
import { ROLE_KIND, pairTemplates, secretTemplate } from '../../src/pkcs11/template.ts'
import type { TemplateAttribute } from '../../src/pkcs11/template.ts'

const SECRET_USAGES = ['ENCRYPT', 'DECRYPT', 'SIGN', 'VERIFY', 'WRAP', 'UNWRAP', 'DERIVE']
const PRIVATE_USAGES = ['SIGN', 'DECRYPT', 'UNWRAP', 'DERIVE']

const inputs = (form: 'locked' | 'birth') =>
  ({ form, onToken: true, kwpMechanism: 0x0000210b, signature: 'ed25519' }) as const

function attributes(list: readonly TemplateAttribute[]): Map<string, unknown> {
  return new Map(list.map(({ name, value }) => [name, value]))
}

const cases = keyRole.options.flatMap((role) =>
  (['locked', 'birth'] as const).map((form) => ({ role, form })),
)

describe('the templates behind a plan', () => {
  it.each(cases)('$role, $form: every usage is explicit, and no two add up to a read-out', (at) => {
    const { role, form } = at
    const isPair = ROLE_KIND[role] === 'signature-pair'
    const template = attributes(
      role === 'log-signer'
        ? pairTemplates(role, inputs(form)).privateKey
        : secretTemplate(role, inputs(form)),
    )
    for (const usage of isPair ? PRIVATE_USAGES : SECRET_USAGES) {
      expect(typeof template.get(usage), usage).toBe('boolean')
    }
    const may = (usage: string): boolean => template.get(usage) === true
    expect(may('WRAP') && may('DECRYPT')).toBe(false)
    expect(may('UNWRAP') && may('ENCRYPT')).toBe(false)
    expect(may('DERIVE')).toBe(false)
    expect(template.get('SENSITIVE')).toBe(true)
    if (form === 'locked') expect(template.get('EXTRACTABLE')).toBe(false)
    // KEY-WRAP-2: the two layers are two kinds of keys.
    expect(may('WRAP')).toBe(role === 'kek')
    expect(may('DECRYPT')).toBe(role === 'kek-outer')
  })
})
