/** PINs that are split: 32 random bytes, typed to the token as 64 hexadecimal digits. */
import { FormatError } from '../errors.ts'
import type { Random } from '../ports.ts'

import { base16 } from './base16.ts'

/** Length of a split PIN in bytes. SoftHSM2 limits a PIN to 255 characters, PKCS#11 tokens often to 64. */
export const PIN_BYTES = 32

/** A fresh PIN secret of {@link PIN_BYTES} bytes; the caller wipes it. Throws FormatError on a short read. */
export async function randomPin(random: Random): Promise<Uint8Array> {
  const secret = await random.bytes(PIN_BYTES)
  // A random source that fails quietly hands out constant bytes; 32 equal bytes are never random.
  if (secret.length !== PIN_BYTES || secret.every((byte) => byte === secret[0])) {
    throw new FormatError('the random source did not give a usable PIN', {
      where: 'random PIN',
      expected: `${PIN_BYTES} bytes that are not all equal`,
      got: secret.length === PIN_BYTES ? 'equal bytes' : `${secret.length} bytes`,
    })
  }
  return secret
}

/** The PIN as the token takes it: 64 lower-case hexadecimal ASCII digits; the caller wipes them. */
export function pinDigits(secret: Uint8Array): Uint8Array {
  if (secret.length !== PIN_BYTES) {
    throw new FormatError('not a PIN secret', {
      where: 'PIN secret',
      expected: `${PIN_BYTES} bytes`,
      got: `${secret.length} bytes`,
    })
  }
  return base16(secret)
}
