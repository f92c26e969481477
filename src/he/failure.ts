/**
 * How likely a decrypted result is wrong. It must be out of reach, not just rare: a wrong score that becomes
 * visible says something about the secret key (attacks in the IND-CPA-D model of Li and Micciancio, 2021).
 *
 * A decrypted result is right when no coefficient of P = sum over the chunks of V Q leaves (-q/2, q/2), where
 * V = m + t v and Q = w + t f are what a stored and a query ciphertext decrypt to before the reduction modulo
 * t (SEAL native/src/seal/encryptor.cpp, encrypt_internal, BGV: messages are lifted centred). Each step below is
 * a bound, none an estimate, for randomness that SEAL's generator does not spoil:
 *
 * - f and, in symmetric blocks, v have SEAL's error distribution (util/rlwe.cpp, sample_poly_cbd): the
 *   difference of two sums of 21 bits, sub-Gaussian with its own variance 21/2 as proxy (Hoeffding's lemma).
 * - Given V, a coefficient of t V f is then sub-Gaussian with proxy (21/2) t^4 A, where A = |V/t|^2 over all
 *   coefficients of all chunks, whatever they are.
 * - |V/t| is at most |v| + |m/t|, and |m| is bounded by the quantisation.
 * - |v|^2 is a quadratic form of sub-Gaussian variables: Hsu, Kakade, Zhang, "A tail inequality for quadratic
 *   forms of subgaussian random vectors" (2012), theorem 2.1: it exceeds
 *   tr(S) + 2 sqrt(tr(S^2) x) + 2 |S| x with probability at most e^-x.
 * - The message of the query adds at most t sqrt(A) |w| (Cauchy-Schwarz).
 */
import { EmbeddingError } from '../errors.ts'
import { type Geometry, PUBLIC_KEY_PARAMETER_SET, geometryOf } from './parameters.ts'

/** Who fills a collection: the key holder, or an ingest that has the public key only. */
export type IngestMode = 'symmetric' | 'public-key'

/** Failure probabilities of a block must be below 2 to this. */
export const SAFE_LOG2 = -64

/** Variance and sub-Gaussian proxy of SEAL's error: 42 bits of variance 1/4. */
const ERROR = 21 / 2
/** Of a uniform coefficient over -1, 0, 1: cosh series term by term against exp(x^2 / 3). */
const TERNARY = 2 / 3

/** Hsu-Kakade-Zhang: bound of a form with trace `tr` and largest eigenvalue `top`; tr(S^2) is at most tr top. */
const quadratic = (tr: number, top: number, x: number): number =>
  tr + 2 * Math.sqrt(tr * top * x) + 2 * top * x

/** Bound of |v|^2 over a block, and how many tail events of probability e^-x it takes. */
function noise(g: Geometry, mode: IngestMode, x: number): { squared: number; events: number } {
  const N = g.set.degree
  if (mode === 'symmetric') return { squared: quadratic(ERROR * N * g.chunks, ERROR, x), events: 1 }
  // v = e0 - e u + e1 s with u, s ternary and e the error in the public key. For a given key (e, s) it is
  // linear in (u, e0, e1); with proxies in, its matrix has eigenvalue
  //   l_j = TERNARY |E_j|^2 + ERROR + ERROR |S_j|^2
  // at each of the N roots of X^N + 1, E_j and S_j being the values of e and s there.
  const [error, secret] = [quadratic(ERROR * N, ERROR, x), quadratic(TERNARY * N, TERNARY, x)]
  const trace = N * (TERNARY * error + ERROR + ERROR * secret)
  // |E_j|^2 is a form with two eigenvalues of sum N; both events, over the N/2 pairs of conjugate roots.
  const y = x + Math.log(N)
  const root = (proxy: number) => quadratic(proxy * N, proxy * N, y)
  const top = TERNARY * root(ERROR) + ERROR + ERROR * root(TERNARY)
  return { squared: quadratic(trace * g.chunks, top, x), events: 4 }
}

/** log2 of the sum of two probabilities given by their logarithms. */
const addLog2 = (a: number, b: number): number =>
  Math.max(a, b) + Math.log2(1 + 2 ** -Math.abs(a - b))

function boundAt(g: Geometry, mode: IngestMode, tailBits: number): number {
  const { degree: N, modulus, plainBits } = g.set
  const t = 2 ** plainBits
  const { squared, events } = noise(g, mode, tailBits * Math.LN2)
  // parameters.ts: the square of an integer vector is below t/2, and a block has N/b of them.
  const message = Math.sqrt((g.vectorsPerBlock * (t / 2)) / (t * t))
  const A = (Math.sqrt(squared) + message) ** 2
  const room = Number(modulus) / 2 - 1 - t * Math.sqrt(A) * Math.sqrt(t / 2)
  const tail = Math.log2(events) - tailBits
  if (room <= 0) return 0
  // Two sides of N coefficients, each exp(-room^2 / 2 proxy).
  const exponent = (room * room) / (2 * ERROR * t ** 4 * A)
  return Math.min(0, addLog2(tail, 1 + Math.log2(N) - exponent / Math.LN2))
}

/**
 * log2 of a bound on the probability that one decrypted result has a wrong coefficient: a full block, any
 * vectors, any query. Public-key blocks: over the choice of the key too.
 */
export function failureProbabilityLog2(g: Geometry, mode: IngestMode): number {
  let best = 0
  // Any split of the probability between the tails is a bound; the best of a few is taken.
  for (let tailBits = 64; tailBits <= 256; tailBits += 2) {
    best = Math.min(best, boundAt(g, mode, tailBits))
  }
  return best
}

/** Whether a set makes a safe collection of this shape; undefined when its scores have no room at all. */
function safeWith(g: Geometry, mode: IngestMode, parameterSet: string): boolean | undefined {
  try {
    return failureProbabilityLog2(geometryOf({ ...g, parameterSet }), mode) < SAFE_LOG2
  } catch (error) {
    if (error instanceof EmbeddingError) return undefined
    throw error
  }
}

/**
 * A set to take instead, if there is one: the usual one for public keys where it is safe, else the safe set
 * that keeps most precision for the fewest bytes of a query.
 */
function saferSet(g: Geometry, mode: IngestMode): string | undefined {
  if (mode === 'public-key' && safeWith(g, mode, PUBLIC_KEY_PARAMETER_SET) === true) {
    return PUBLIC_KEY_PARAMETER_SET
  }
  for (let plainBits = g.set.plainBits; plainBits >= 12; plainBits--) {
    for (let chunk = g.set.chunk; chunk <= 64; chunk *= 2) {
      const name = `bgv-n2048-q51-t${plainBits}-b${chunk}`
      const safe = safeWith(g, mode, name)
      if (safe === true) return name
      // No room for that many coordinates: nor with an even smaller t.
      if (safe === undefined) return undefined
    }
  }
  return undefined
}

/** A collection is checked for public keys when it has long been there. */
const advice: Readonly<Record<IngestMode, (set: string) => string>> = {
  symmetric: (set) => `take ${set}`,
  'public-key': (set) =>
    `the parameters of a collection never change: make a new one with ${set} (create --parameters) and import into it`,
}

/**
 * Refuses a collection whose results could be wrong with a probability of 2^-64 or more.
 * @throws EmbeddingError PARAMETERS_UNSAFE, with a parameter set to take instead.
 */
export function requireSafe(g: Geometry, mode: IngestMode): void {
  const log2 = failureProbabilityLog2(g, mode)
  if (log2 < SAFE_LOG2) return
  const other = saferSet(g, mode)
  throw new EmbeddingError('PARAMETERS_UNSAFE', 'decryption could fail', {
    where: `${g.set.name}, ${g.dimensions} dimensions, ${mode} ingest`,
    expected: `a failure probability below 2^${SAFE_LOG2}`,
    got: `at most 2^${Math.ceil(log2)}`,
    hint: other === undefined ? 'reduce the dimensions of the vectors' : advice[mode](other),
  })
}
