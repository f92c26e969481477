/**
 * Parameter sets and the shape they give a collection. A set is spelled by its name,
 * `bgv-n2048-q51-t<T>-b<b>`: BGV in the ring of degree 2048 with one 51-bit prime, plain modulus 2^T, and b
 * coordinates of 2048/b vectors in a ciphertext. Degree and modulus are within the 128-bit row of the
 * HomomorphicEncryption.org standard (2018, table 1: 54 bits for a ternary secret) and within the row against
 * quantum attacks (51 bits).
 */
import { sha256, utf8 } from '../bytes.ts'
import { EmbeddingError } from '../errors.ts'
import type { CollectionInfo, Metric } from './types.ts'

/** What a name spells. */
export interface ParameterSet {
  readonly name: string
  /** N: coefficients of a polynomial. */
  readonly degree: number
  /** q: the only prime, 1 modulo 2N. */
  readonly modulus: bigint
  /** Bits of a residue. */
  readonly modulusBits: number
  /** T: scores are integers modulo 2^T. */
  readonly plainBits: number
  /** b: coordinates of one vector in one ciphertext. */
  readonly chunk: number
}

/** The shape of a collection under its parameter set. */
export interface Geometry {
  readonly set: ParameterSet
  readonly metric: Metric
  /** Coordinates as the caller gives them. */
  readonly dimensions: number
  /** Coordinates as they are encrypted: one more for `squared-l2`. */
  readonly coordinates: number
  /** Ciphertexts of a block and of a query. */
  readonly chunks: number
  readonly vectorsPerBlock: number
  /** S: the integer that the longest vector's length becomes. */
  readonly scale: number
  /** SHA-256 of parameter set, metric and dimensions: what every ciphertext names in its header. */
  readonly layoutDigest: Uint8Array
}

/** For collections that the key holder fills itself. */
export const DEFAULT_PARAMETER_SET = 'bgv-n2048-q51-t16-b8'
/** For collections that are filled with the public key: its ciphertexts have more noise. */
export const PUBLIC_KEY_PARAMETER_SET = 'bgv-n2048-q51-t14-b8'
/** Most coordinates of a vector. */
export const MAX_DIMENSIONS = 8192

const DEGREE = 2048
/** The largest 51-bit prime that is 1 modulo 4096, so that the number-theoretic transform exists. */
const MODULUS = 2251799813640193n
const MODULUS_BITS = 51
const NAME = /^bgv-n2048-q51-t(1[2-7])-b(1|2|4|8|16|32|64)$/
/** Below it the integers keep so little of a vector that over-fetching no longer makes up for it. */
const MIN_SCALE = 8
const METRICS: readonly Metric[] = ['cosine', 'inner-product', 'squared-l2']

/**
 * The set a name spells.
 * @throws EmbeddingError PARAMETERS_UNKNOWN.
 */
export function parseParameterSet(name: string): ParameterSet {
  const [, plainBits, chunk] = NAME.exec(name) ?? []
  if (plainBits === undefined || chunk === undefined) {
    throw new EmbeddingError('PARAMETERS_UNKNOWN', 'no such parameter set', {
      where: 'parameterSet',
      expected: 'bgv-n2048-q51-t<12 to 17>-b<1, 2, 4, 8, 16, 32 or 64>',
      got: JSON.stringify(name.slice(0, 64)),
      hint: `take ${DEFAULT_PARAMETER_SET}, or ${PUBLIC_KEY_PARAMETER_SET} to ingest with a public key`,
    })
  }
  return {
    name,
    degree: DEGREE,
    modulus: MODULUS,
    modulusBits: MODULUS_BITS,
    plainBits: Number(plainBits),
    chunk: Number(chunk),
  }
}

/**
 * The shape of a collection.
 * @throws EmbeddingError PARAMETERS_UNKNOWN; COLLECTION_INVALID for dimensions or a metric that do not exist;
 * PARAMETERS_UNSAFE when the plain modulus has no room for that many coordinates.
 */
export function geometryOf(
  info: Pick<CollectionInfo, 'parameterSet' | 'metric' | 'dimensions'>,
): Geometry {
  const { metric, dimensions } = info
  const set = parseParameterSet(info.parameterSet)
  if (!METRICS.includes(metric)) {
    throw new EmbeddingError('COLLECTION_INVALID', 'no such metric', {
      where: 'metric',
      expected: METRICS.join(', '),
      got: JSON.stringify(metric),
    })
  }
  if (!Number.isInteger(dimensions) || dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    throw new EmbeddingError('COLLECTION_INVALID', 'that is no number of dimensions', {
      where: 'dimensions',
      expected: `a whole number from 1 to ${MAX_DIMENSIONS}`,
      got: String(dimensions),
    })
  }
  const coordinates = metric === 'squared-l2' ? dimensions + 1 : dimensions
  return {
    set,
    metric,
    dimensions,
    coordinates,
    chunks: Math.ceil(coordinates / set.chunk),
    vectorsPerBlock: set.degree / set.chunk,
    scale: scaleOf(set, coordinates),
    layoutDigest: sha256(utf8(`keyrite-he/1 ${set.name} ${metric} ${dimensions}`)),
  }
}

/**
 * The largest S for which every score fits. Rounding moves each coordinate by at most 1/2, so an integer
 * vector is at most S + sqrt(coordinates)/2 long; a score is at most the product of two lengths
 * (Cauchy-Schwarz) and must stay below t/2, so (S + sqrt(coordinates)/2)^2 is at most (t - 1)/2.
 */
function scaleOf({ name, plainBits }: ParameterSet, coordinates: number): number {
  const scale = Math.floor(Math.sqrt((2 ** plainBits - 1) / 2) - Math.sqrt(coordinates) / 2)
  if (scale >= MIN_SCALE) return scale
  throw new EmbeddingError(
    'PARAMETERS_UNSAFE',
    'the plain modulus is too small for these vectors',
    {
      where: name,
      expected: `a scale of at least ${MIN_SCALE}`,
      got: `${scale} with ${coordinates} coordinates`,
      hint: 'take a parameter set with a larger t',
    },
  )
}
