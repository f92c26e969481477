/**
 * The site binding as written: where the module and the tokens are, who the people are, which files the
 * plan's words mean here. Facts only. There is no field for a secret, and a value that looks like one is
 * refused.
 */
import * as z from 'zod'

import { line, name, role } from './plan-schema.ts'

const hex32 = z.string().regex(/^[0-9a-f]{64}$/, 'SHA-256: 64 lower-case hexadecimal digits')
const path = line(1024)
const pinned = z.strictObject({ file: path, sha256: hex32 })

/** RFC 7512 §2.4: a PIN inside the URI is world-readable. */
const pkcs11Uri = line(1024)
  .regex(/^pkcs11:/, 'a pkcs11: URI')
  .refine((uri) => !/[?&;]pin-value=/i.test(uri), 'pin-value is refused: a PIN is a secret')

const signer = z.union(
  [
    z.strictObject({ file: path }),
    z.strictObject({ agent: path }),
    z.strictObject({ pkcs11: pkcs11Uri }),
    z.strictObject({ detached: z.literal(true) }),
  ],
  { error: 'expected one of { file }, { agent }, { pkcs11 }, { detached: true }' },
)

const lock = z.union(
  [
    z.literal('passphrase'),
    z.strictObject({
      recipient: line(4096).regex(/^age1[a-z0-9-]+$/, 'an age recipient (age1...)'),
      identity: path,
    }),
  ],
  { error: 'expected passphrase or { recipient, identity }' },
)

const person = z.strictObject({
  name: line(100),
  /** In `allowed_signers`. */
  principal: line(200).regex(/^[^\s,*?!"#]+$/, 'a principal without patterns or white space'),
  roles: z.array(role).min(1),
  /** How this person signs; needed for every role that approves or attests. */
  signer: signer.optional(),
  /** Where this person's share files are kept; needed by custodians and security officers. */
  shares: z.strictObject({ directory: path, lock }).optional(),
})

const byName = <Value extends z.ZodType>(value: Value) => z.record(name, value)

/** A binding file. */
export const bindingSchema = z.strictObject({
  binding: name,
  mode: z.enum(['rehearsal', 'production']),
  /** Prefix of log origins, e.g. `keyrite.example`. */
  organisation: line(200).regex(
    /^[a-z0-9]+(?:[.-][a-z0-9]+)*(?:\/[a-z0-9]+(?:[.-][a-z0-9]+)*)*$/,
    'a lower-case host name, optionally with path',
  ),
  module: z.strictObject({ path, sha256: hex32 }),
  tokens: byName(
    z.strictObject({
      /** PKCS#11 labels are 32 bytes, padded with blanks. */
      label: line(32).refine(
        (label) => new TextEncoder().encode(label).length <= 32,
        'at most 32 bytes',
      ),
      /** `blank`: initialised by this ceremony, which records the serial. */
      serial: z.union([z.literal('blank'), line(16)], {
        error: 'expected the serial as text (quote it) or blank',
      }),
      /** Slot of a blank token (`keyrite token list`); needed where several slots hold one. */
      slot: z.int().nonnegative().optional(),
    }),
  ),
  people: byName(person),
  roster: pinned,
  policy: pinned,
  /** The bundle this ceremony continues. */
  previous: z
    .strictObject({
      bundle: path,
      root: z.string().regex(/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 lower-case digits'),
    })
    .optional(),
  /** Where the plan's inputs lie. */
  inputs: byName(path).optional(),
})
