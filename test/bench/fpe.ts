/**
 * `npm run bench:fpe`: format-preserving encryption against its peers, and against the raw AES of the same
 * module in the same run. Tokens are SoftHSM2; a network HSM is imitated by a module that adds 0.5 ms to every
 * call. `--json`: one object a line.
 */
import { randomBytes, randomInt } from 'node:crypto'

import {
  type FpeCipher,
  KeyVersions,
  alphabets,
  column,
  costOf,
  ff1,
  ff3_1,
  pan,
  softwareAes,
} from '../../src/fpe/index.ts'
import { loadModule } from '../../src/pkcs11/index.ts'
import { delayModule } from '../fpe/delay-module.ts'
import { softHsm } from '../tokens.ts'
import { opensslBlocksPerSecond } from './openssl-ecb.ts'
import { mysto, noble, ubiq } from './peers.ts'
import { openRawEcb } from './raw-ecb.ts'
import { type Row, type Work, onOneCore, printRows, rates, row } from './rows.ts'

onOneCore()

const N = 16_384
/** Values in a packed buffer: 4 MiB of card numbers. */
const BULK = 262_144
/** Peers take milliseconds for what takes keyrite microseconds. */
const FEW = 256
const tweak = new Uint8Array(randomBytes(8))
const tweak7 = tweak.subarray(0, 7)
const { digits, base62 } = alphabets
const PAN = 16
const WIDE = 32

function values(symbols: readonly string[], length: number): string[] {
  const one = () => Array.from({ length }, () => symbols[randomInt(symbols.length)]).join('')
  return Array.from({ length: N }, one)
}
const pans = values(digits.symbols, PAN)
const wide = values(base62.symbols, WIDE)
const packedPans = new Uint8Array(Buffer.from(pans.join('').repeat(BULK / N)))
const thousandPacked = packedPans.subarray(0, 1000 * PAN)
const packedWide = new Uint8Array(Buffer.from(wide.join('').repeat(BULK / N)))

const many = (cipher: FpeCipher, input: readonly string[], own = tweak): Work => {
  return async () => (await cipher.encryptMany(input, { tweak: own })).length
}
const packed = (cipher: FpeCipher, input: Uint8Array, length: number): Work => {
  return async () => (await cipher.encryptPacked(input, { tweak, length })).length / length
}
/** One after another: each waits for the one before. */
const singles = (cipher: FpeCipher, input: readonly string[]): Work => {
  return async () => {
    for (const value of input.slice(0, 64)) await cipher.encrypt(value, { tweak })
    return 64
  }
}
const microseconds = (perSecond: number): number => 1e6 / perSecond

async function software(): Promise<Row[]> {
  const key = new Uint8Array(randomBytes(32))
  using aes = softwareAes(key)
  using reversed = softwareAes(key, { reversed: true })
  const decimal = ff1({ key: aes, alphabet: digits })
  const mixed = ff1({ key: aes, alphabet: base62 })
  const legacy = ff3_1({
    key: reversed,
    alphabet: digits,
    allowNonApproved: true,
    allowEncrypt: true,
  })
  const typescript = ff1({
    key: { encryptBlocks: (blocks) => aes.encryptBlocks(blocks) },
    alphabet: digits,
  })
  const cards = column({
    name: 'pan',
    format: pan({ keepFirst: 6, keepLast: 4 }),
    keys: new KeyVersions({ name: 'bench', current: 1, versions: { 1: { cipher: aes } } }),
  })
  const input = (symbols: readonly string[], list: readonly string[], own = tweak) => ({
    key,
    tweak: own,
    symbols: symbols.join(''),
    values: list.slice(0, FEW),
  })
  const [strings, nobles, ubiqs] = await rates(
    many(decimal, pans),
    noble(input(digits.symbols, pans)),
    ubiq(input(digits.symbols, pans)),
  )
  const [legacies, mystos] = await rates(
    many(legacy, pans, tweak7),
    mysto(input(digits.symbols, pans, tweak7)),
  )
  const [wides, nobleWides] = await rates(many(mixed, wide), noble(input(base62.symbols, wide)))
  const [single, nobleSingle] = await rates(
    singles(decimal, pans),
    noble({ ...input(digits.symbols, pans), values: pans.slice(0, 64) }),
  )
  const [plain, formatted] = await rates(many(typescript, pans.slice(0, 4096)), async () => {
    const done = await cards.encryptEach(pans)
    return done.filter((one) => typeof one === 'string').length
  })
  const [bulk, bulkWide] = await rates(
    packed(decimal, packedPans, PAN),
    packed(mixed, packedWide, WIDE),
  )
  const limit = opensslBlocksPerSecond() / costOf('FF1', 10, PAN).blocksPerValue
  const openssl = 'openssl speed AES-ECB / 10'
  const nobleName = '@noble/ciphers FF1'
  return [
    row('software-pan-strings-vs-noble', strings!, 'values/s', nobles!, nobleName),
    row('software-pan-strings-vs-ubiq', strings!, 'values/s', ubiqs!, 'ubiq-security-fpe FF1'),
    row('software-pan-ff3-1-strings-vs-ff3', legacies!, 'values/s', mystos!, 'ff3 FF3-1'),
    row('software-base62x32-strings-vs-noble', wides!, 'values/s', nobleWides!, nobleName),
    row(
      'software-pan-single-vs-noble',
      microseconds(single!),
      'us',
      microseconds(nobleSingle!),
      nobleName,
    ),
    row('software-pan-packed-vs-ecb-limit', bulk!, 'values/s', limit, openssl),
    row('software-base62x32-packed-vs-ecb-limit', bulkWide!, 'values/s', limit, openssl),
    row('software-pan-typescript-vs-noble', plain!, 'values/s', nobles!, nobleName),
    row('software-pan-column-vs-noble', formatted!, 'values/s', nobles!, `${nobleName}, no format`),
  ]
}

async function onSoftHsm(): Promise<Row[]> {
  const files = softHsm()
  try {
    const { bench } = files.tokens('bench')
    await using hsm = await loadModule(files.module)
    await using token = await hsm.login(bench.uri, { pin: bench.userPin() })
    const key = await token.generate({ role: 'fpe', label: 'fpe-bench', id: randomBytes(16) })
    const decimal = ff1({ key, alphabet: digits })
    const mixed = ff1({ key, alphabet: base62 })
    const init = ff1({ key: key.blockCipher({ operation: 'single-part' }), alphabet: digits })
    const raw = openRawEcb(files.module, 'bench')
    // Apart from what makes garbage for the collector.
    const [thousand] = await rates(packed(decimal, thousandPacked, PAN))
    const [bulk, ...ecb] = await rates(
      packed(decimal, packedPans, PAN),
      ...raw.ways.map(({ work }) => work),
      raw.updateCall,
    )
    const [strings, single, wides, bulkWide, initBulk] = await rates(
      many(decimal, pans),
      singles(decimal, pans),
      many(mixed, wide),
      packed(mixed, packedWide, WIDE),
      packed(init, packedPans, PAN),
    )
    const call = microseconds(ecb.pop()!)
    const best = Math.max(...ecb)
    const how = raw.ways[ecb.indexOf(best)]?.name ?? ''
    const cost = costOf('FF1', 10, PAN)
    const against = `raw AES-ECB, ${how}, / ${cost.blocksPerValue}`
    const limit = best / cost.blocksPerValue
    raw.close()
    return [
      row('softhsm-pan-packed-vs-ecb-limit', bulk!, 'values/s', limit, against),
      row('softhsm-pan-packed-n1000-vs-ecb-limit', thousand!, 'values/s', limit, against),
      row('softhsm-pan-packed-single-part-vs-ecb-limit', initBulk!, 'values/s', limit, against),
      row('softhsm-pan-strings-vs-ecb-limit', strings!, 'values/s', limit, against),
      row('softhsm-base62x32-strings-vs-ecb-limit', wides!, 'values/s', limit, against),
      row('softhsm-base62x32-packed-vs-ecb-limit', bulkWide!, 'values/s', limit, against),
      row(
        'softhsm-pan-single-vs-calls',
        microseconds(single!),
        'us',
        call * cost.callsPerBatch,
        `${cost.callsPerBatch} raw calls of 16 bytes`,
      ),
    ]
  } finally {
    files.cleanup()
  }
}

/** A network HSM: 1,000 values, in one batch and as 1,000 concurrent single calls. */
async function behindDelay(milliseconds: number): Promise<Row[]> {
  const files = softHsm()
  const shim = delayModule(files.dir, milliseconds)
  try {
    const { bench } = files.tokens('bench')
    await using hsm = await loadModule(shim.module)
    await using token = await hsm.login(bench.uri, { pin: bench.userPin() })
    const key = await token.generate({ role: 'fpe', label: 'fpe-bench', id: randomBytes(16) })
    const decimal = ff1({ key, alphabet: digits })
    const thousand = pans.slice(0, 1000)
    const [batch, concurrent] = await rates(many(decimal, thousand), async () => {
      const done = await Promise.all(thousand.map((value) => decimal.encrypt(value, { tweak })))
      return done.length
    })
    const { callsPerBatch } = costOf('FF1', 10, PAN)
    const limit = (1000 * 1000) / (callsPerBatch * milliseconds)
    const against = `1,000 values in ${callsPerBatch} round trips`
    return [
      row('delay-0.5ms-pan-strings-vs-round-trips', batch!, 'values/s', limit, against),
      row('delay-0.5ms-pan-coalesced-vs-round-trips', concurrent!, 'values/s', limit, against),
    ]
  } finally {
    shim.close()
    files.cleanup()
  }
}

const rows = [...(await onSoftHsm()), ...(await software()), ...(await behindDelay(0.5))]
printRows(rows, 'npm run bench:fpe')
