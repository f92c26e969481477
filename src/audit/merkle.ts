/**
 * Merkle tree hashing, proofs and their verification: RFC 6962 §2.1, as restated with verification
 * algorithms in RFC 9162 §2.1. SHA-256. Sizes are safe integers, so bit operations are arithmetic here.
 */
import { hash } from 'node:crypto'

import { equal, sha256, toHex } from '../bytes.ts'
import type { VerificationError } from '../errors.ts'
import { type LogRequirementId, broken } from './requirements.ts'

/** SHA-256 as a plain array: slices of a Buffer share its memory, slices of a Uint8Array do not. */
const digest = (input: Uint8Array): Uint8Array => new Uint8Array(hash('sha256', input, 'buffer'))

/** Length of every hash in bytes. */
export const HASH_BYTES = 32

/** MTH of the empty list: the hash of nothing (RFC 9162 §2.1.1). */
export const EMPTY_ROOT = sha256()

/** MTH of one entry: SHA-256(0x00 || entry) (RFC 9162 §2.1.1). */
export function leafHash(entry: Uint8Array): Uint8Array {
  const input = new Uint8Array(1 + entry.length)
  input.set(entry, 1)
  return digest(input)
}

/** MTH of two subtrees: SHA-256(0x01 || left || right) (RFC 9162 §2.1.1). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  const input = new Uint8Array(1 + 2 * HASH_BYTES)
  input[0] = 0x01
  input.set(left, 1)
  input.set(right, 1 + HASH_BYTES)
  return digest(input)
}

/** Hashes of complete subtrees: `2 ** level` leaves from leaf `index * 2 ** level` on. */
export interface HashReader {
  node(level: number, index: number): Uint8Array
}

/** The largest power of two below n (at least 2): `k` of RFC 9162 §2.1.1. */
function splitPoint(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

/** MTH(D[from:to]) for the ranges the recursions of RFC 9162 §2.1 visit. */
function rangeHash(reader: HashReader, from: number, to: number): Uint8Array {
  const n = to - from
  const level = Math.log2(n)
  // A power of two is exact in a double, so its logarithm is; the ranges are aligned by construction.
  if (2 ** level === n && Number.isInteger(level)) return reader.node(level, from / n)
  const k = splitPoint(n)
  return nodeHash(rangeHash(reader, from, from + k), rangeHash(reader, from + k, to))
}

/** Root of the first `size` leaves: MTH(D_n) (RFC 9162 §2.1.1). */
export const rootOf = (reader: HashReader, size: number): Uint8Array =>
  size === 0 ? EMPTY_ROOT.slice() : rangeHash(reader, 0, size).slice()

/** PATH(index, D_size) (RFC 9162 §2.1.3.1): from the leaf's sibling up. The index is below the size. */
export function inclusionPath(reader: HashReader, index: number, size: number): Uint8Array[] {
  const path = (m: number, from: number, to: number): Uint8Array[] => {
    if (to - from === 1) return []
    const k = from + splitPoint(to - from)
    return m < k
      ? [...path(m, from, k), rangeHash(reader, k, to).slice()]
      : [...path(m, k, to), rangeHash(reader, from, k).slice()]
  }
  return path(index, 0, size)
}

/** PROOF(first, D_second) (RFC 9162 §2.1.4.1). Empty for `first` 0 and for equal sizes. */
export function consistencyPath(reader: HashReader, first: number, second: number): Uint8Array[] {
  if (first === 0 || first === second) return []
  /** `known`: the subtree D[from:to] was a whole tree before, so its hash is the verifier's already. */
  const subproof = (from: number, to: number, known: boolean): Uint8Array[] => {
    if (first === to) return known ? [] : [rangeHash(reader, from, to).slice()]
    const k = from + splitPoint(to - from)
    return first <= k
      ? [...subproof(from, k, known), rangeHash(reader, k, to).slice()]
      : [...subproof(k, to, false), rangeHash(reader, from, k).slice()]
  }
  return subproof(0, second, true)
}

const isOdd = (n: number): boolean => n % 2 === 1
const half = (n: number): number => Math.floor(n / 2)

const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0

function badProof(requirement: LogRequirementId, got: string): VerificationError {
  return broken('PROOF_INVALID', requirement, 'Merkle proof does not hold', { where: 'proof', got })
}

/** What an inclusion proof claims. */
export interface InclusionClaim {
  readonly leafHash: Uint8Array
  readonly index: number
  readonly size: number
  readonly root: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/** Checks an inclusion proof (RFC 9162 §2.1.3.2); throws VerificationError `PROOF_INVALID`. */
export function verifyInclusion({
  leafHash: leaf,
  index,
  size,
  root,
  proof,
}: InclusionClaim): void {
  const fail = (got: string) => badProof('LOG-PROOF-1', got)
  if ([leaf, root, ...proof].some((h) => h.length !== HASH_BYTES))
    throw fail('a hash of odd length')
  // Step 1: leaf_index must be below tree_size.
  if (!isCount(index) || !isCount(size) || index >= size) throw fail(`entry ${index} of ${size}`)
  // Step 2, 3.
  let fn = index
  let sn = size - 1
  let r = leaf
  // Step 4.
  for (const p of proof) {
    if (sn === 0) throw fail('a proof that is too long')
    if (isOdd(fn) || fn === sn) {
      r = nodeHash(p, r)
      while (!isOdd(fn) && fn !== 0) {
        fn = half(fn)
        sn = half(sn)
      }
    } else {
      r = nodeHash(r, p)
    }
    fn = half(fn)
    sn = half(sn)
  }
  // Step 5.
  if (sn !== 0) throw fail('a proof that is too short')
  if (!equal(r, root)) throw fail(`root ${toHex(r)}`)
}

/** What a consistency proof claims. */
export interface ConsistencyClaim {
  readonly first: number
  readonly firstRoot: Uint8Array
  readonly second: number
  readonly secondRoot: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/** Checks a consistency proof (RFC 9162 §2.1.4.2); throws VerificationError `PROOF_INVALID`. */
export function verifyConsistency(claim: ConsistencyClaim): void {
  const { first, firstRoot, second, secondRoot, proof } = claim
  const fail = (got: string) => badProof('LOG-PROOF-2', got)
  if ([firstRoot, secondRoot, ...proof].some((h) => h.length !== HASH_BYTES)) {
    throw fail('a hash of odd length')
  }
  if (!isCount(first) || !isCount(second) || first > second) throw fail(`${first} to ${second}`)
  // Outside the RFC's 0 < first < second: nothing to prove, so nothing may be claimed.
  if (first === 0 || first === second) {
    if (proof.length > 0) throw fail('a proof where none is needed')
    if (first === 0 && !equal(firstRoot, EMPTY_ROOT)) throw fail('a root of no entries')
    if (first === second && !equal(firstRoot, secondRoot)) throw fail('two roots of one size')
    if (second === 0 && !equal(secondRoot, EMPTY_ROOT)) throw fail('a root of no entries')
    return
  }
  // Step 1: an empty path fails.
  if (proof.length === 0) throw fail('a proof that is too short')
  // Step 2: if first is a power of two, its root leads the path.
  const path = 2 ** Math.round(Math.log2(first)) === first ? [firstRoot, ...proof] : [...proof]
  // Step 3, 4.
  let fn = first - 1
  let sn = second - 1
  while (isOdd(fn)) {
    fn = half(fn)
    sn = half(sn)
  }
  // Step 5.
  const [head = EMPTY_ROOT, ...rest] = path
  let fr = head
  let sr = head
  // Step 6.
  for (const c of rest) {
    if (sn === 0) throw fail('a proof that is too long')
    if (isOdd(fn) || fn === sn) {
      fr = nodeHash(c, fr)
      sr = nodeHash(c, sr)
      while (!isOdd(fn) && fn !== 0) {
        fn = half(fn)
        sn = half(sn)
      }
    } else {
      sr = nodeHash(sr, c)
    }
    fn = half(fn)
    sn = half(sn)
  }
  // Step 7.
  if (sn !== 0) throw fail('a proof that is too short')
  if (!equal(fr, firstRoot)) throw fail(`first root ${toHex(fr)}`)
  if (!equal(sr, secondRoot)) throw fail(`second root ${toHex(sr)}`)
}
