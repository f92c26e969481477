/**
 * What the tokens are known to enforce, written down before the doctor looked: measured by hand on
 * SoftHSM2 2.6.1 and NSS 3.87 with raw PKCS#11 calls. Rows marked `(+)` were not measured then: they say
 * what the doctor itself saw when the row was added.
 */
import type { Verdict } from '../../src/pkcs11/index.ts'
import type { ModuleName } from '../tokens.ts'

/** Label of scratch objects. */
export const SCRATCH = 'keyrite doctor scratch'

const SOFTHSM: Readonly<Record<string, Verdict>> = {
  'read-sensitive': 'enforced',
  'read-unextractable': 'enforced',
  'set-sensitive-off': 'enforced',
  'set-extractable-on': 'enforced',
  'copy-sensitive-off': 'enforced',
  'copy-extractable-on': 'enforced',
  'always-sensitive-honest': 'enforced',
  'never-extractable-honest': 'enforced',
  'claim-local': 'enforced',
  'claim-always-sensitive': 'enforced',
  'claim-never-extractable': 'enforced',
  'wrong-check-value': 'enforced',
  'wrap-unextractable': 'enforced',
  'wrap-with-trusted': 'enforced',
  'set-wrap-with-trusted-off': 'enforced',
  'copy-wrap-with-trusted-off': 'enforced',
  'trusted-by-user': 'enforced',
  'unwrap-honours-template': 'enforced',
  'unwrap-default': 'enforced', // SENSITIVE=0, EXTRACTABLE=0
  'unwrap-template': 'enforced',
  'unwrap-template-omitted': 'enforced', // refused: every attribute must be restated
  'set-unwrap-template': 'enforced',
  'wrap-template': 'enforced',
  'use-without-encrypt': 'enforced',
  'use-without-decrypt': 'enforced',
  'use-without-sign': 'enforced',
  'use-without-verify': 'enforced',
  'use-without-wrap': 'enforced',
  'use-without-unwrap': 'enforced',
  'use-without-derive': 'enforced',
  'widen-unmodifiable': 'enforced',
  'copy-widens-usage': 'enforced', // (+)
  'mechanism-not-allowed': 'enforced',
  'widen-mechanisms': 'enforced',
  'modify-unmodifiable': 'enforced',
  'set-modifiable-on': 'enforced',
  'copy-uncopyable': 'enforced',
  'set-copyable-on': 'enforced',
  'destroy-undestroyable': 'enforced',
  'set-destroyable-on': 'enforced',
  'use-destroyed': 'enforced',
  'operation-outlives-key': 'not enforced',
  'always-authenticate': 'enforced',
  'session-objects-die': 'enforced', // (+)
  'private-after-logout': 'enforced',
  'private-without-login': 'enforced',
  'public-without-login': 'not enforced',
  'pin-lockout': 'not probed',
  'so-resets-pin': 'not probed',
}

/** Only where NSS differs from SoftHSM2. */
const NSS: Readonly<Record<string, Verdict>> = {
  'read-unextractable': 'not enforced',
  'copy-extractable-on': 'not enforced',
  'claim-local': 'not enforced', // (+)
  'wrong-check-value': 'not enforced',
  'wrap-unextractable': 'not enforced',
  'wrap-with-trusted': 'not enforced',
  'set-wrap-with-trusted-off': 'not enforced',
  'copy-wrap-with-trusted-off': 'not enforced',
  'trusted-by-user': 'not enforced',
  'unwrap-default': 'not enforced', // SENSITIVE=0, EXTRACTABLE=1
  'unwrap-template': 'not enforced', // (+)
  'unwrap-template-omitted': 'not enforced', // (+)
  'set-unwrap-template': 'not enforced', // (+)
  'wrap-template': 'not enforced', // (+)
  'use-without-verify': 'not applicable', // (+) softoken has no C_VerifyInit for CMAC
  'use-without-derive': 'not enforced',
  'copy-widens-usage': 'not enforced', // (+)
  'mechanism-not-allowed': 'not enforced',
  'widen-mechanisms': 'not enforced',
  // MODIFIABLE=0 was listed as ignored; softoken does refuse C_SetAttributeValue on such session
  // objects, and lets a copy undo it.
  'copy-uncopyable': 'not enforced',
  'set-copyable-on': 'not enforced',
  'destroy-undestroyable': 'not enforced',
  'set-destroyable-on': 'not enforced',
  'always-authenticate': 'not enforced',
  'private-after-logout': 'not enforced',
}

/** Verdicts of a user who is logged in and may log out. */
export const ENFORCED: Readonly<Record<ModuleName, Readonly<Record<string, Verdict>>>> = {
  SoftHSM2: SOFTHSM,
  NSS: { ...SOFTHSM, ...NSS },
}
