/** Kits, and the keys of a session that only the key holder can open. */
import { createHash } from 'node:crypto'

import { describe, expect, it } from 'vitest'

import {
  hpke,
  ingestKit,
  newSession,
  openSession,
  parseIngestKit,
  writeIngestKit,
} from '../../src/he/ingest-kit.ts'
import { deriveKeys } from '../../src/he/keys.ts'
import type { CollectionInfo } from '../../src/he/types.ts'
import { rejectedCode } from '../error-code.ts'

const info: CollectionInfo = {
  name: 'contracts',
  id: '0f'.repeat(16),
  parameterSet: 'bgv-n2048-q51-t14-b8',
  dimensions: 8,
  metric: 'inner-product',
  maxNorm: 1.5,
  fields: ['customer', 'year'],
}
const keys = deriveKeys(new Uint8Array(32).fill(3), 2)
const publicKey = Uint8Array.from({ length: 13_120 }, (_, i) => i)
const before = deriveKeys(new Uint8Array(32).fill(4), 1)
const bytes = await ingestKit(info, keys, [before], publicKey)
const kit = parseIngestKit(bytes)

describe('a kit', () => {
  it('says what an ingest needs, and is the same each time', async () => {
    expect(kit).toMatchObject({ info, epoch: 2, publicKey })
    expect(kit.idToken).toEqual(keys.idToken)
    expect(kit.filterToken).toEqual(keys.filterToken)
    expect(kit.hpkePublicKey).toHaveLength(32)
    expect(writeIngestKit(kit)).toEqual(bytes)
    expect(kit.earlier).toEqual([{ epoch: 1, idToken: before.idToken }])
    expect(await ingestKit(info, keys, [before], publicKey)).toEqual(bytes)
  })

  it('holds no key that decrypts or authenticates', () => {
    const text = Buffer.from(bytes).toString()
    for (const field of ['sealSecretKey', 'record', 'blockMac', 'ingestHpke'] as const) {
      expect(text).not.toContain(Buffer.from(keys[field]).toString('base64'))
      expect(text).not.toContain(Buffer.from(keys[field]).toString('hex'))
    }
    expect(text).toContain(Buffer.from(keys.idToken).toString('base64'))
  })

  it('is refused with a field missing, added or of another kind', async () => {
    const value = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>
    const collection = value['collection'] as Record<string, unknown>
    const sorted = (one: unknown): unknown =>
      typeof one !== 'object' || one === null || Array.isArray(one)
        ? one
        : Object.fromEntries(
            Object.entries(one)
              .filter(([, field]) => field !== undefined)
              .sort(([a], [b]) => (a < b ? -1 : 1))
              .map(([name, field]) => [name, sorted(field)]),
          )
    // With the right digest, so that each field is refused for itself.
    const parsed = ({ sha256: _, ...one }: Record<string, unknown>) => {
      const content = JSON.stringify(sorted(one))
      const sha256 = createHash('sha256').update(content).digest('hex')
      return rejectedCode(() =>
        parseIngestKit(Buffer.from(JSON.stringify(sorted({ ...one, sha256 })))),
      )
    }
    expect(await parsed(value)).toBe('none')
    const short = Buffer.alloc(31).toString('base64')
    for (const change of [
      { format: 'keyrite-he-ingest-kit/2' },
      { format: undefined },
      { more: 1 },
      { epoch: 0 },
      { epoch: '2' },
      { seal: short },
      { seal: `${String(value['seal'])}=` },
      { hpke: short },
      { hpke: 5 },
      { idToken: short },
      { filterToken: null },
      { earlier: undefined },
      { earlier: {} },
      { earlier: [short] },
      { earlier: [{ epoch: 1 }] },
      { earlier: [{ epoch: 1, idToken: short }] },
      { earlier: [{ epoch: 0, idToken: value['idToken'] }] },
      { earlier: [{ epoch: 1.5, idToken: value['idToken'] }] },
      { earlier: [{ epoch: 2, idToken: value['idToken'] }] },
      { earlier: [1, 1].map((epoch) => ({ epoch, idToken: value['idToken'] })) },
      { collection: [] },
      { collection: { ...collection, more: 1 } },
      { collection: { ...collection, name: '../x' } },
      { collection: { ...collection, id: 'ZZ'.repeat(16) } },
      { collection: { ...collection, maxNorm: 1 } },
      { collection: { ...collection, maxNorm: '-1' } },
      { collection: { ...collection, maxNorm: '1.50' } },
      { collection: { ...collection, maxNorm: 'Infinity' } },
      { collection: { ...collection, fields: [1] } },
      { collection: { ...collection, dimensions: '8' } },
    ]) {
      expect([change, await parsed({ ...value, ...change })]).toEqual([change, 'FORMAT'])
    }
    expect(await parsed({ ...value, collection: { ...collection, parameterSet: 'x' } })).toBe(
      'PARAMETERS_UNKNOWN',
    )
    expect(await parsed({ ...value, collection: { ...collection, metric: 'x' } })).toBe(
      'COLLECTION_INVALID',
    )
    for (const text of ['', '{}', 'null', `${Buffer.from(bytes).toString()} `]) {
      expect(await rejectedCode(() => parseIngestKit(Buffer.from(text)))).toBe('FORMAT')
    }
    expect(await rejectedCode(() => parseIngestKit(Uint8Array.of(0xff)))).toBe('FORMAT')
  })

  it('that was damaged is refused, wherever the damage is', () => {
    const text = Buffer.from(bytes).toString()
    for (const field of ['seal', 'hpke', 'idToken', 'filterToken', 'sha256']) {
      const at = text.indexOf(`"${field}":"`) + field.length + 12
      const other = text[at] === '0' ? '1' : '0'
      const damaged = `${text.slice(0, at)}${other}${text.slice(at + 1)}`
      expect(() => parseIngestKit(Buffer.from(damaged)), field).toThrow('damaged')
    }
  })
})

describe('a session', () => {
  it('is sealed with the suite whose key pairs are those of RFC 9180, appendix A.1.1', async () => {
    const ikm = '6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037'
    const pair = await hpke.kem.deriveKeyPair(new Uint8Array(Buffer.from(ikm, 'hex')))
    const point = await hpke.kem.serializePublicKey(pair.publicKey)
    expect(Buffer.from(point).toString('hex')).toBe(
      '3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d',
    )
    expect([hpke.kem.id, hpke.kdf.id, hpke.aead.id]).toEqual([0x20, 1, 2])
  })

  it('opens for the key holder, to the keys of the ingest', async () => {
    const { session, recordKey, macKey } = await newSession(kit)
    expect(session).toMatchObject({ epoch: 2 })
    expect(session.id).toMatch(/^[0-9a-f]{32}$/)
    expect(session.sealedKey).toHaveLength(32 + 32 + 16)
    const opened = await openSession(keys, info, session)
    expect(opened).toEqual({ recordKey, macKey })
    expect(recordKey).not.toEqual(macKey)
    expect(recordKey).toHaveLength(32)
  })

  it('has keys and a name of its own', async () => {
    const sessions = await Promise.all(Array.from({ length: 20 }, () => newSession(kit)))
    const all = sessions.flatMap(({ session, recordKey, macKey }) =>
      [Buffer.from(session.id, 'hex'), session.sealedKey, recordKey, macKey].map((one) =>
        Buffer.from(one).toString('hex'),
      ),
    )
    expect(new Set(all).size).toBe(80)
  })

  it('opens for no other seed, epoch, collection or name, and not when it was changed', async () => {
    const { session } = await newSession(kit)
    const refused = async (...args: Parameters<typeof openSession>) =>
      expect(await rejectedCode(() => openSession(...args))).toBe('KEY_MISMATCH')
    await refused(deriveKeys(new Uint8Array(32).fill(4), 2), info, session)
    await refused(deriveKeys(new Uint8Array(32).fill(3), 1), info, session)
    await refused(deriveKeys(new Uint8Array(32).fill(3), 1), info, { ...session, epoch: 1 })
    await refused(keys, { ...info, id: '0e'.repeat(16) }, session)
    await refused(keys, info, { ...session, id: '00'.repeat(16) })
    for (let at = 0; at < session.sealedKey.length; at += 5) {
      const sealedKey = Buffer.from(session.sealedKey)
      sealedKey[at]! ^= 1
      await refused(keys, info, { ...session, sealedKey })
    }
    for (const length of [0, 31, 32, 48, 79]) {
      await refused(keys, info, { ...session, sealedKey: session.sealedKey.slice(0, length) })
    }
    // X25519 ignores the top bit of a public key; the key schedule does not.
    const flipped = session.sealedKey.slice()
    flipped[31]! ^= 0x80
    await refused(keys, info, { ...session, sealedKey: flipped })
  })

  it('is refused with a public key that is no usable point', async () => {
    for (const hpkePublicKey of [
      new Uint8Array(32),
      new Uint8Array(31),
      new Uint8Array(32).fill(1, 0, 1),
    ]) {
      expect(await rejectedCode(() => newSession({ ...kit, hpkePublicKey }))).toBe('KEY_INVALID')
    }
  })
})
