/**
 * The form of an ingest kit: canonical JSON (RFC 8785) of the public keys that an ingest needs. Its SHA-256 in
 * itself tells damage, which would make every vector useless in silence. It stops nobody who changes both.
 */
import { fromBase64, fromUtf8, sha256, toBase64, toHex, utf8 } from '../bytes.ts'
import { canonicalJson, parseCanonicalJson } from '../canonical.ts'
import type { Json } from '../types.ts'
import { FormatError } from '../errors.ts'
import { geometryOf } from './parameters.ts'
import { publicKeyBytes } from './seal-public-key.ts'
import type { CollectionInfo } from './types.ts'

/**
 * Public keys and token keys of one collection and epoch. Its holder can add vectors and compute tokens of ids
 * and metadata values, so it can test guesses against a store; it can decrypt nothing. It must come from the key
 * holder over a channel that cannot be tampered with: vectors are encrypted to whoever's public key is in it.
 */
export interface IngestKit {
  readonly info: CollectionInfo
  /** The collection's newest when the kit was made. */
  readonly epoch: number
  /** SEAL's public key, see `seal-public-key.ts`. */
  readonly publicKey: Uint8Array
  /** X25519. */
  readonly hpkePublicKey: Uint8Array
  readonly idToken: Uint8Array
  readonly filterToken: Uint8Array
  /** What ids are found by that a rotation under way has not reached yet; ascending. */
  readonly earlier: readonly EarlierTokens[]
}

/** Of an epoch before the kit's own that is still in the collection. */
export interface EarlierTokens {
  readonly epoch: number
  readonly idToken: Uint8Array
}

const FORMAT = 'keyrite-he-ingest-kit/1'
/** Of a token key, and of an X25519 public key. */
const KEY_BYTES = 32
const KIT_FIELDS = [
  ...['format', 'collection', 'epoch', 'seal', 'hpke', 'idToken', 'filterToken', 'earlier'],
  'sha256',
]
const INFO_FIELDS = ['name', 'id', 'parameterSet', 'dimensions', 'metric', 'maxNorm', 'fields']

/** Of the canonical JSON of all other fields. */
const digestOf = (fields: Json): string => toHex(sha256(utf8(canonicalJson(fields))))

/** Canonical JSON (RFC 8785) of a kit. */
export function writeIngestKit(kit: IngestKit): Uint8Array {
  const { name, id, parameterSet, dimensions, metric, maxNorm, fields } = kit.info
  // Canonical JSON has integers only here; a norm is written as the text of the number.
  const norm = String(maxNorm)
  const content = {
    format: FORMAT,
    collection: { name, id, parameterSet, dimensions, metric, maxNorm: norm, fields },
    epoch: kit.epoch,
    seal: toBase64(kit.publicKey),
    hpke: toBase64(kit.hpkePublicKey),
    idToken: toBase64(kit.idToken),
    filterToken: toBase64(kit.filterToken),
    earlier: kit.earlier.map(({ epoch, idToken }) => ({ epoch, idToken: toBase64(idToken) })),
  }
  return utf8(canonicalJson({ ...content, sha256: digestOf(content) }))
}

function refuse(where: string, expected: string): never {
  throw new FormatError('not an ingest kit', { where: `ingest kit, ${where}`, expected })
}

/** An object with exactly these fields. */
function object(value: unknown, fields: readonly string[], where: string): Record<string, unknown> {
  const sound = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!sound || [...fields].sort().join() !== Object.keys(value).sort().join()) {
    refuse(where, fields.join(', '))
  }
  return value as Record<string, unknown>
}

function key(value: unknown, length: number, where: string): Uint8Array {
  const bytes = typeof value === 'string' ? fromBase64(value, where) : undefined
  return bytes?.length === length ? bytes : refuse(where, `${length} bytes in base64`)
}

function readInfo(value: unknown): CollectionInfo {
  const { name, id, parameterSet, dimensions, metric, maxNorm, fields } = object(
    value,
    INFO_FIELDS,
    'collection',
  )
  const isText = (one: unknown): one is string => typeof one === 'string'
  if (!isText(name) || !/^[a-z0-9][a-z0-9_-]{0,62}$/.test(name)) refuse('name', 'a name')
  if (!isText(id) || !/^[0-9a-f]{32}$/.test(id)) refuse('id', '32 hexadecimal digits')
  if (!isText(parameterSet) || !isText(metric) || typeof dimensions !== 'number') {
    refuse('collection', 'a parameter set, a metric and dimensions')
  }
  const norm = Number(maxNorm)
  if (!isText(maxNorm) || String(norm) !== maxNorm || !(norm > 0 && norm < Infinity)) {
    refuse('maxNorm', 'a positive number as text')
  }
  if (!Array.isArray(fields) || !fields.every(isText)) refuse('fields', 'a list of texts')
  const info = { name, id, parameterSet, dimensions, metric, maxNorm: norm, fields }
  return info as CollectionInfo
}

const isEpoch = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 1

function readEarlier(value: unknown, epoch: number): readonly EarlierTokens[] {
  if (!Array.isArray(value)) refuse('earlier', 'a list')
  const earlier = value.map((one: unknown, index) => {
    const where = `earlier[${index}]`
    const { epoch: of, idToken } = object(one, ['epoch', 'idToken'], where)
    if (!isEpoch(of)) refuse(where, 'a positive integer')
    return { epoch: of, idToken: key(idToken, KEY_BYTES, where) }
  })
  const epochs = [...earlier.map((one) => one.epoch), epoch]
  if (epochs.some((one, at) => at > 0 && one <= (epochs[at - 1] ?? 0))) {
    refuse('earlier', `ascending epochs before ${epoch}`)
  }
  return earlier
}

/** @throws FormatError. */
function readJson(bytes: Uint8Array): Json {
  try {
    return parseCanonicalJson(fromUtf8(bytes, 'ingest kit'))
  } catch (cause) {
    throw new FormatError('not an ingest kit', {
      where: 'ingest kit',
      expected: 'canonical JSON, as the key holder made it',
      got: bytes.length === 0 ? 'nothing' : 'something else',
      hint: 'ask the key holder for the kit (keyrite embeddings kit)',
      cause,
    })
  }
}

/**
 * Reads a kit.
 * @throws FormatError when it is none; EmbeddingError PARAMETERS_UNKNOWN, COLLECTION_INVALID.
 */
export function parseIngestKit(bytes: Uint8Array): IngestKit {
  const kit = object(readJson(bytes), KIT_FIELDS, 'fields')
  if (kit['format'] !== FORMAT) refuse('format', FORMAT)
  const info = readInfo(kit['collection'])
  const { set } = geometryOf(info)
  const { epoch } = kit
  if (!isEpoch(epoch)) refuse('epoch', 'a positive integer')
  const parsed: IngestKit = {
    info,
    epoch,
    publicKey: key(kit['seal'], publicKeyBytes(set), 'seal'),
    hpkePublicKey: key(kit['hpke'], KEY_BYTES, 'hpke'),
    idToken: key(kit['idToken'], KEY_BYTES, 'idToken'),
    filterToken: key(kit['filterToken'], KEY_BYTES, 'filterToken'),
    earlier: readEarlier(kit['earlier'], epoch),
  }
  const { sha256: digest, ...content } = kit
  if (digest !== digestOf(content as Json)) {
    throw new FormatError('the ingest kit is damaged', {
      where: 'ingest kit, sha256',
      expected: 'the SHA-256 of its other fields',
      got: 'another value',
      hint: 'copy the file again, or ask the key holder for a new kit',
    })
  }
  return parsed
}
