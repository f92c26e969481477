/** Records and block MACs against changes of every part. */
import { createCipheriv, createDecipheriv } from 'node:crypto'

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { blockMac, checkBlockMac } from '../../src/he/block-mac.ts'
import { type RecordContext, type RecordItem, openRecord, sealRecord } from '../../src/he/record.ts'

const KEY = new Uint8Array(32).fill(8)
const context: RecordContext = {
  collectionId: '0f'.repeat(16),
  epoch: 2,
  session: '',
  token: new Uint8Array(16).fill(4),
}
const item: RecordItem = {
  id: 'contract-7',
  vector: Float32Array.of(1, -0.5, 3e-39, 3.4e38),
  metadata: { customer: 'ACME', year: 2026, open: true },
}
const aad = (c: RecordContext) =>
  JSON.stringify([
    'keyrite-he/1 record',
    c.collectionId,
    c.epoch,
    c.session,
    Buffer.from(c.token).toString('hex'),
  ])

const refusal = (run: () => unknown): { code: string; message: string } => {
  try {
    run()
  } catch (error) {
    return error as { code: string; message: string }
  }
  return { code: 'none', message: '' }
}

/** Seals any clear bytes as a record, as a thief of the key or a bug would. */
function sealRaw(clear: Uint8Array): Uint8Array {
  const nonce = Buffer.alloc(12, 1)
  const cipher = createCipheriv('aes-256-gcm', KEY, nonce)
  cipher.setAAD(Buffer.from(aad(context)))
  return Buffer.concat([nonce, cipher.update(clear), cipher.final(), cipher.getAuthTag()])
}

/** The documented encoding, written a second time. */
function encoded(id: Uint8Array, floats: readonly number[], json: string, pad = true): Buffer {
  const vector = Buffer.from(Float32Array.from(floats).buffer)
  const u16 = Buffer.alloc(2)
  u16.writeUInt16LE(id.length)
  const u32 = (value: number) => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value)
    return bytes
  }
  const text = Buffer.from(json)
  const parts = [Uint8Array.of(1), u16, id, u32(floats.length), vector, u32(text.length), text]
  const bytes = Buffer.concat(parts)
  return pad ? Buffer.concat([bytes, Buffer.alloc((32 - (bytes.length % 32)) % 32)]) : bytes
}

describe('a record', () => {
  it('opens to what was sealed', () => {
    expect(openRecord(KEY, context, sealRecord(KEY, context, item))).toEqual(item)
    const bare = { id: 'x', vector: Float32Array.of(0) }
    expect(openRecord(KEY, context, sealRecord(KEY, context, bare))).toEqual({
      ...bare,
      metadata: {},
    })
  })

  it('opens to any id, vector and metadata', () => {
    fc.assert(
      fc.property(
        fc
          .string({ unit: 'binary', minLength: 1, maxLength: 60 })
          .filter((id) => id.isWellFormed()),
        fc.float32Array({ noNaN: true, noDefaultInfinity: true, minLength: 0, maxLength: 70 }),
        fc.dictionary(
          fc.string({ unit: 'binary' }),
          fc.oneof(
            fc.string({ unit: 'binary' }),
            fc.boolean(),
            fc.double({ noNaN: true, noDefaultInfinity: true }),
          ),
        ),
        (id, vector, metadata) => {
          const opened = openRecord(
            KEY,
            context,
            sealRecord(KEY, context, { id, vector, metadata }),
          )
          expect(opened.id).toBe(id)
          expect(Buffer.from(opened.vector.buffer)).toEqual(Buffer.from(vector.slice().buffer))
          expect(JSON.stringify(opened.metadata)).toBe(JSON.stringify(metadata))
        },
      ),
    )
  })

  it('is laid out as documented, and hides lengths below 32 bytes', () => {
    const sealed = sealRecord(KEY, context, item)
    const decipher = createDecipheriv('aes-256-gcm', KEY, sealed.subarray(0, 12))
    decipher.setAAD(Buffer.from(aad(context)))
    decipher.setAuthTag(sealed.subarray(-16))
    const clear = Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()])
    const json = JSON.stringify(item.metadata)
    expect(clear).toEqual(encoded(Buffer.from(item.id), [...item.vector], json))
    const length = (id: string) => sealRecord(KEY, context, { ...item, id }).length
    expect(length('a')).toBe(length('ab'))
  })

  it('is never the same twice', () => {
    const sealed = Array.from({ length: 200 }, () => sealRecord(KEY, context, item))
    const nonces = new Set(sealed.map((one) => Buffer.from(one.subarray(0, 12)).toString('hex')))
    expect(nonces.size).toBe(200)
  })

  it('is refused with any bit changed, any byte lost or added', () => {
    const sealed = sealRecord(KEY, context, item)
    for (let at = 0; at < sealed.length; at++) {
      const changed = Buffer.from(sealed)
      changed[at]! ^= 1 << (at % 8)
      expect(refusal(() => openRecord(KEY, context, changed)).code).toBe('RECORD_INVALID')
      expect(refusal(() => openRecord(KEY, context, sealed.subarray(0, at))).code).toBe(
        'RECORD_INVALID',
      )
    }
    const longer = Buffer.concat([sealed, Buffer.alloc(1)])
    expect(refusal(() => openRecord(KEY, context, longer)).code).toBe('RECORD_INVALID')
  })

  it('is refused in any other place and under any other key', () => {
    const sealed = sealRecord(KEY, context, item)
    const places: Partial<RecordContext>[] = [
      { collectionId: '0e'.repeat(16) },
      { epoch: 1 },
      { session: '00'.repeat(16) },
      { token: new Uint8Array(16).fill(5) },
      { token: new Uint8Array(15).fill(4) },
    ]
    for (const place of places) {
      expect(refusal(() => openRecord(KEY, { ...context, ...place }, sealed)).code).toBe(
        'RECORD_INVALID',
      )
    }
    for (const key of [new Uint8Array(32).fill(9), new Uint8Array(16), new Uint8Array(0)]) {
      expect(refusal(() => openRecord(key, context, sealed)).code).toBe('RECORD_INVALID')
    }
  })

  it('is refused with one and the same message, whatever is wrong inside', () => {
    const id = Buffer.from('id')
    expect(openRecord(KEY, context, sealRaw(encoded(id, [1], '{"a":1}'))).metadata).toEqual({
      a: 1,
    })
    const sound = encoded(id, [1, 2], '{"a":1}')
    const changed = (at: number, value: number) => {
      const bytes = Buffer.from(sound)
      bytes[at] = value
      return bytes
    }
    const broken: Uint8Array[] = [
      new Uint8Array(0),
      changed(0, 2),
      changed(1, 255),
      changed(2, 255),
      changed(8, 255),
      changed(sound.length - 1, 1),
      Buffer.concat([sound, Buffer.alloc(32)]),
      encoded(new Uint8Array(0), [1], '{}'),
      encoded(Uint8Array.of(0xff), [1], '{}'),
      encoded(Buffer.alloc(513, 97), [1], '{}'),
      encoded(id, [NaN], '{}'),
      encoded(id, [-Infinity], '{}'),
      ...['', '[]', 'null', '1', '{"a":null}', '{"a":[1]}', '{"a":{}}', '{"a":1', '{} {}'].map(
        (json) => encoded(id, [1], json),
      ),
      sound.subarray(0, 5),
      sound.subarray(0, 15),
    ]
    const messages = broken.map((clear) => refusal(() => openRecord(KEY, context, sealRaw(clear))))
    expect(new Set(messages.map(({ code }) => code))).toEqual(new Set(['RECORD_INVALID']))
    expect(new Set(messages.map((error) => JSON.stringify(error))).size).toBe(1)
  })

  it('does not tell its content in an error', () => {
    const other = sealRecord(new Uint8Array(32), context, item)
    const error = refusal(() => openRecord(KEY, context, other))
    expect(JSON.stringify(error) + error.message).not.toMatch(/ACME|contract-7/)
  })

  it('is refused for an id that cannot be kept', () => {
    for (const id of ['', 'x'.repeat(513), '\ud800']) {
      expect(refusal(() => sealRecord(KEY, context, { ...item, id })).code).toBe('ID_INVALID')
    }
  })
})

describe('a block\u2019s MAC', () => {
  const place = { collectionId: '0f'.repeat(16), uid: 'aa'.repeat(16), epoch: 1, session: '' }
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i)
  const mac = blockMac(KEY, place, bytes)

  it('fits the block in its place', () => {
    expect(mac).toHaveLength(32)
    expect(checkBlockMac(KEY, place, bytes, mac)).toBe(true)
    expect(checkBlockMac(KEY, { ...place }, bytes.slice(), mac.slice())).toBe(true)
  })

  it('fits no other bytes, place, key or length', () => {
    for (let at = 0; at < bytes.length; at += 37) {
      const changed = bytes.slice()
      changed[at]! ^= 1
      expect(checkBlockMac(KEY, place, changed, mac)).toBe(false)
    }
    for (const other of [
      { collectionId: '0e'.repeat(16) },
      { uid: 'ab'.repeat(16) },
      { epoch: 2 },
      { session: 'cc'.repeat(16) },
    ]) {
      expect(checkBlockMac(KEY, { ...place, ...other }, bytes, mac)).toBe(false)
    }
    expect(checkBlockMac(new Uint8Array(32), place, bytes, mac)).toBe(false)
    for (const length of [0, 31]) {
      expect(checkBlockMac(KEY, place, bytes, mac.subarray(0, length))).toBe(false)
    }
    expect(checkBlockMac(KEY, place, bytes, Uint8Array.of(...mac, 0))).toBe(false)
  })

  it('does not let bytes pass between place and block', () => {
    const end = Buffer.from(`","x"]`)
    const one = blockMac(KEY, { ...place, session: 'a' }, Buffer.concat([end, bytes]))
    expect(checkBlockMac(KEY, { ...place, session: 'a","x' }, bytes, one)).toBe(false)
  })
})
