/**
 * The scrypt recipient of age (C2SP age.md, "The scrypt recipient type") for passphrases held as bytes. The age
 * package takes passphrases as strings only; its `Recipient` and `Identity` interfaces let us keep them wipeable,
 * and node:crypto runs scrypt off the event loop.
 */
import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto'

import { Stanza, type Identity, type Recipient } from 'age-encryption'

import { concat, fromBase64, toBase64, utf8, wipe } from '../bytes.ts'

const LABEL = utf8('age-encryption.org/v1/scrypt')
const SALT_BYTES = 16
const TAG_BYTES = 16
/** age: "implementations SHOULD apply an upper limit"; 20 needs 1 GiB of memory. */
export const MAX_WORK_FACTOR = 20
/** The age default: about a second of work. */
export const DEFAULT_WORK_FACTOR = 18

function wrapKey(passphrase: Uint8Array, salt: Uint8Array, logN: number): Promise<Uint8Array> {
  // age: wrap key = scrypt(N = 2^logN, r = 8, p = 1, dkLen = 32, S = label || salt, P = passphrase)
  const memory = 2 ** logN * 128 * 8
  const options = { N: 2 ** logN, r: 8, p: 1, maxmem: memory + 2 ** 20 }
  return new Promise((resolve, reject) => {
    scrypt(passphrase, concat(LABEL, salt), 32, options, (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })
}

/** A recipient that locks a file with a passphrase. `workFactor` is log2 of scrypt's N. */
export const scryptRecipient = (passphrase: Uint8Array, workFactor: number): Recipient => ({
  async wrapFileKey(fileKey) {
    const salt = new Uint8Array(randomBytes(SALT_BYTES))
    const key = await wrapKey(passphrase, salt, workFactor)
    // age: body = ChaCha20-Poly1305(key = wrap key, plaintext = file key), nonce 12 zero bytes
    const options = { authTagLength: TAG_BYTES }
    const cipher = createCipheriv('chacha20-poly1305', key, new Uint8Array(12), options)
    const body = concat(cipher.update(fileKey), cipher.final(), cipher.getAuthTag())
    wipe(key)
    return [new Stanza(['scrypt', toBase64(salt).replace(/=+$/, ''), String(workFactor)], body)]
  },
})

function parseStanza(stanza: Stanza): { salt: Uint8Array; logN: number } {
  const [, salt = '', factor = ''] = stanza.args
  const logN = /^[1-9][0-9]?$/.test(factor) ? Number(factor) : Infinity
  const padded = fromBase64(`${salt}==`, 'scrypt salt')
  if (stanza.args.length !== 3 || padded.length !== SALT_BYTES || stanza.body.length !== 32) {
    throw new Error('invalid scrypt stanza')
  }
  if (logN > MAX_WORK_FACTOR) throw new Error('scrypt work factor is too high')
  return { salt: padded, logN }
}

/** The identity that opens such a file; gives `null` for a wrong passphrase (contract of the age package). */
export const scryptIdentity = (passphrase: Uint8Array): Identity => ({
  async unwrapFileKey(stanzas) {
    const stanza = stanzas.find((candidate) => candidate.args[0] === 'scrypt')
    if (stanza === undefined) return null
    // age: an scrypt stanza MUST be alone in the header, so that the sender is authenticated.
    if (stanzas.length !== 1) throw new Error('scrypt stanza is not alone')
    const { salt, logN } = parseStanza(stanza)
    const key = await wrapKey(passphrase, salt, logN)
    const options = { authTagLength: TAG_BYTES }
    const decipher = createDecipheriv('chacha20-poly1305', key, new Uint8Array(12), options)
    wipe(key)
    decipher.setAuthTag(stanza.body.subarray(-TAG_BYTES))
    const fileKey = decipher.update(stanza.body.subarray(0, -TAG_BYTES))
    try {
      decipher.final()
      return new Uint8Array(fileKey)
    } catch {
      return null
    } finally {
      wipe(fileKey)
    }
  },
})
