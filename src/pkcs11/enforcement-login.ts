/** Attacks on PRIVATE, on ALWAYS_AUTHENTICATE and on the login itself (PKCS#11 v3.2 §4.4, §4.9, §5.6). */
import { CKK, CKO } from './constants.ts'
import { CKM } from './constants-ckm.ts'
import type { Attack } from './enforcement-attack.ts'
import { BLOCK, SCRATCH_LABEL } from './enforcement-bench.ts'
import { allowed, inert } from './enforcement-row.ts'
import type { EnforcementRow } from './enforcement-row.ts'
import { mechanism } from './mechanism.ts'

/** OBJECT IDENTIFIER prime256v1 (RFC 5480 §2.1.1.1). */
const P256 = Uint8Array.of(0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07)

/** Attacks that need a login, but leave it as it is. */
export const LOGIN_ATTACKS: readonly Attack[] = [
  {
    id: 'always-authenticate',
    attribute: 'ALWAYS_AUTHENTICATE',
    attack: 'sign with an ALWAYS_AUTHENTICATE key without giving the PIN again',
    expected: 'CKR_USER_NOT_LOGGED_IN',
    severity: 'warning',
    needs: 'login',
    holds: 'every signature with such a key needs the PIN again',
    broken: 'ALWAYS_AUTHENTICATE asks for nothing: one login signs as often as it likes',
    run: (bench) => {
      const { cryptoki, home } = bench
      const pair = (alwaysAuthenticate: boolean) => {
        const { publicKey, privateKey } = cryptoki.generateKeyPair(
          home,
          mechanism(CKM.EC_KEY_PAIR_GEN),
          {
            CLASS: CKO.PUBLIC_KEY,
            KEY_TYPE: CKK.EC,
            TOKEN: false,
            PRIVATE: false,
            LABEL: SCRATCH_LABEL,
            EC_PARAMS: P256,
            VERIFY: true,
          },
          {
            CLASS: CKO.PRIVATE_KEY,
            KEY_TYPE: CKK.EC,
            TOKEN: false,
            PRIVATE: true,
            LABEL: SCRATCH_LABEL,
            SENSITIVE: true,
            EXTRACTABLE: false,
            SIGN: true,
            ...(alwaysAuthenticate ? { ALWAYS_AUTHENTICATE: true } : {}),
          },
        )
        bench.keep(publicKey)
        return bench.keep(privateKey)
      }
      const ordinary = pair(false)
      bench.perform((session) =>
        cryptoki.sign(session, mechanism(CKM.ECDSA), ordinary, new Uint8Array(32).fill(1)),
      )
      const key = pair(true)
      return bench.attempt((session) =>
        cryptoki.sign(session, mechanism(CKM.ECDSA), key, new Uint8Array(32).fill(1)),
      )
    },
  },
]

/** The attack that ends the login of the whole process; last of its table. */
export const LOGOUT_ATTACKS: readonly Attack[] = [
  {
    id: 'private-after-logout',
    attribute: 'PRIVATE',
    attack: 'use a private session key by its old handle after C_Logout',
    expected: 'CKR_KEY_HANDLE_INVALID',
    severity: 'warning',
    needs: 'sole-login',
    holds: 'private session keys die with the login',
    broken: 'private session keys stay usable after logout, until their session is closed',
    run: (bench) => {
      const mech = bench.cipher()
      const key = bench.aes(['ENCRYPT'])
      bench.cryptoki.logout(bench.home)
      return bench.attempt((session) => bench.cryptoki.encrypt(session, mech, key, BLOCK))
    },
  },
]

/** Attacks of somebody who has no PIN; mounted when nobody is logged in. */
export const PUBLIC_ATTACKS: readonly Attack[] = [
  {
    id: 'private-without-login',
    attribute: 'PRIVATE',
    attack: 'make a private key without login',
    expected: 'CKR_USER_NOT_LOGGED_IN',
    severity: 'warning',
    needs: 'nothing',
    holds: 'private keys need a login',
    broken: 'PRIVATE=true does not ask for a login',
    run: (bench) => {
      bench.aes(['ENCRYPT'])
      return bench.attack(() => {
        const key = bench.aes(['ENCRYPT'], { PRIVATE: true })
        return bench.flag(key, 'PRIVATE') === true
          ? allowed()
          : inert('CKR_OK, but the key is not PRIVATE')
      })
    },
  },
  {
    id: 'public-without-login',
    attribute: 'PRIVATE',
    attack: 'use a sensitive key with PRIVATE=false without login',
    expected: 'allowed',
    severity: 'note',
    needs: 'nothing',
    holds: 'even public keys need a login',
    broken: 'a key with PRIVATE=false works without any PIN; keyrite sets PRIVATE=true',
    run: (bench) => {
      const mech = bench.cipher()
      const key = bench.aes(['ENCRYPT'], { EXTRACTABLE: false })
      return bench.attempt((session) => bench.cryptoki.encrypt(session, mech, key, BLOCK))
    },
  },
]

/** What is never tried, and why. */
export const NEVER_PROBED: readonly EnforcementRow[] = [
  {
    id: 'pin-lockout',
    attribute: '-',
    attack: 'try wrong PINs until the token locks',
    expected: 'CKR_PIN_LOCKED',
    observed: 'never tried: it could lock the token for good',
    verdict: 'not probed',
    severity: 'warning',
    consequence: 'assume no lock-out: the PIN itself must be unguessable',
  },
  {
    id: 'so-resets-pin',
    attribute: '-',
    attack: 'set a new user PIN as SO and use the private keys under it',
    expected: 'allowed',
    observed: 'never tried: it would change the user PIN',
    verdict: 'not probed',
    severity: 'warning',
    consequence: 'assume that whoever holds the SO PIN can become the user',
  },
]
