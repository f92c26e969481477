/**
 * What is known about vendors' modules from their documents, by manufacturer and library name.
 * Nothing here was probed. Hints decide nothing: they tell a person where to look. One fact decides
 * something: whether rounds may use multi-part operations where a trial finds that they work, because
 * what speaks against them (load balancing, limits of single mechanisms) does not show in a trial.
 */

/** One hint. */
export interface VendorHint {
  readonly topic: 'login' | 'wrap' | 'block cipher' | 'policy' | 'dual control' | 'operation'
  readonly text: string
  /** `unverified`: from memory or hearsay; check it with the vendor. */
  readonly basis: 'documentation' | 'unverified'
}

/** Hints about one vendor's module. */
export interface VendorHints {
  readonly vendor: string
  readonly hints: readonly VendorHint[]
}

interface Vendor extends VendorHints {
  /** Matched against manufacturer and library description. */
  readonly pattern: RegExp
  /** Absent: nothing is known. */
  readonly multiPart?: MultiPartPolicy
}

/** Whether AES blocks may be sent in an operation that stays open, and why. */
export interface MultiPartPolicy {
  readonly allowed: boolean
  readonly reason: string
}

const MEASURED: MultiPartPolicy = {
  allowed: true,
  reason: 'measured: the same blocks at a fraction of the time of C_EncryptInit',
}

const says = (topic: VendorHint['topic'], text: string): VendorHint => ({
  topic,
  text,
  basis: 'documentation',
})
const maybe = (topic: VendorHint['topic'], text: string): VendorHint => ({
  topic,
  text,
  basis: 'unverified',
})

const VENDORS: readonly Vendor[] = [
  {
    vendor: 'SoftHSM',
    pattern: /softhsm/i,
    multiPart: MEASURED,
    hints: [
      says('policy', 'software: keys lie in files; object attributes there are not authenticated'),
      says(
        'wrap',
        '0x210A zero-pads first: RFC 5649 for multiples of 8 bytes only; 2.6 has no 0x210B',
      ),
      says('login', 'no lock-out after wrong PINs'),
      says('operation', 'killed creations leave empty or partial object files behind'),
    ],
  },
  {
    vendor: 'NSS softoken',
    pattern: /mozilla|\bnss\b/i,
    multiPart: MEASURED,
    hints: [
      says('policy', 'a library for browsers: wraps non-extractable keys, ignores most policies'),
      says('wrap', 'RFC 5649 is 0x210B; 0x210A is PKCS#7 padding and RFC 3394'),
      says('operation', 'needs library parameters at C_Initialize'),
    ],
  },
  {
    vendor: 'Thales Luna',
    pattern: /safenet|thales|chrysalis|luna/i,
    multiPart: {
      allowed: false,
      reason: 'the documents of HA groups: multi-part operations are not load-balanced',
    },
    hints: [
      says('wrap', 'RFC 5649 is 0x80000171; RFC 3394 is 0x80000170, for symmetric keys only'),
      says('wrap', 'partition policies 0 (cloning) and 1 (private-key wrap) exclude each other'),
      says(
        'login',
        'Crypto User is 0x80000001, auditor 0x80000002; the Crypto Officer is CKU_USER',
      ),
      says('dual control', 'PED quorum: log in with a NULL PIN'),
      says(
        'operation',
        'a lost connection can hang a call for minutes: run it where it can be killed',
      ),
    ],
  },
  {
    vendor: 'Entrust nShield',
    pattern: /ncipher|nshield|entrust/i,
    hints: [
      says('wrap', 'RFC 5649 is 0x210B; 0x2109 wraps only'),
      says('dual control', 'K-of-N card sets by preload, after which the PIN is not checked'),
      says(
        'operation',
        'keys made by another process stay invisible (CKNFAST_ASSUME_SINGLE_PROCESS=1)',
      ),
      says('policy', 'some mechanisms are barred in FIPS level 3 worlds'),
    ],
  },
  {
    vendor: 'Utimaco',
    pattern: /utimaco|cryptoserver/i,
    hints: [
      says('login', 'a generic vendor user is 0x83'),
      says(
        'wrap',
        '0x80003002 is a CBC wrap, not RFC 5649; the standard ids depend on the firmware',
      ),
      maybe('dual control', 'permissions of several logged-in users add up'),
    ],
  },
  {
    vendor: 'YubiHSM 2',
    pattern: /yubico|yubihsm/i,
    hints: [
      says('login', 'the PIN is four hex digits of the authentication key id, then the password'),
      says('wrap', 'no RFC 5649 and no GCM; wraps with its own AES-CCM'),
      says('operation', 'an idle session dies; finalise the module and start again'),
      maybe('block cipher', 'AES-ECB from firmware 2.3 on'),
    ],
  },
  {
    vendor: 'AWS CloudHSM',
    pattern: /cloudhsm|cavium|marvell|amazon/i,
    multiPart: {
      allowed: false,
      reason: "the documents' tables: a number of mechanisms take single-part operations only",
    },
    hints: [
      says('login', 'the PIN is user:password of a crypto user'),
      says('wrap', 'RFC 5649 is 0x8000216F; 0x8000210A is PKCS#5 padding'),
      says('policy', 'the IV of AES-GCM comes from the HSM; CKA_ID must be unique'),
      says('operation', 'a new key is unusable until it is on two HSMs of the cluster'),
    ],
  },
  {
    vendor: 'Fortanix DSM',
    pattern: /fortanix/i,
    hints: [
      says('block cipher', 'AES-ECB is not listed: use AES-CBC with a zero IV, one block'),
      maybe('login', 'the PIN is an API key'),
      maybe('dual control', 'quorum approval by group policy'),
    ],
  },
  {
    vendor: 'Securosys Primus',
    pattern: /securosys|primus/i,
    hints: [
      says('operation', 'redundant partitions share one id, invisible to applications'),
      maybe('dual control', 'quorums by smart key attributes'),
    ],
  },
  {
    vendor: 'IBM (openCryptoki)',
    pattern: /\bibm\b|opencryptoki/i,
    hints: [
      says(
        'policy',
        'unwrap templates with SENSITIVE and EXTRACTABLE are accepted and ignored: tighten',
      ),
      says(
        'policy',
        'EP11 makes every key sensitive; CCA AES DATA keys cannot be export-restricted',
      ),
      says('login', 'PINs have 4 to 8 characters; three wrong ones lock the token'),
    ],
  },
  {
    vendor: 'p11-kit',
    pattern: /p11-kit|p11kit/i,
    hints: [
      says('operation', 'forwards to other modules, and not all of their mechanisms'),
      says('operation', 'after the server died, every call fails until finalise and initialise'),
      says(
        'operation',
        'when the server dies under calls of several threads, some never return (seen with 0.24): maxSessions 1',
      ),
    ],
  },
  {
    vendor: 'tpm2-pkcs11',
    pattern: /tpm2|tpm 2/i,
    hints: [
      says('block cipher', 'no AES keys by C_GenerateKey, no wrapping, no derivation'),
      says('operation', 'needs a resource manager in front of the TPM'),
    ],
  },
]

const UNKNOWN: MultiPartPolicy = {
  allowed: false,
  reason: 'nothing is known about multi-part operations of this vendor',
}

/** Of all vendors that the names point to: one that forbids outweighs one that allows. */
export function multiPartPolicy(names: readonly string[]): MultiPartPolicy {
  const known = VENDORS.filter(({ pattern }) => names.some((name) => pattern.test(name))).flatMap(
    ({ multiPart }) => (multiPart === undefined ? [] : [multiPart]),
  )
  return known.find(({ allowed }) => !allowed) ?? known[0] ?? UNKNOWN
}

/** Hints about the vendor that the names point to, if any. */
export function vendorHints(...names: readonly string[]): VendorHints | null {
  const found = VENDORS.find(({ pattern }) => names.some((name) => pattern.test(name)))
  return found === undefined ? null : { vendor: found.vendor, hints: found.hints }
}
