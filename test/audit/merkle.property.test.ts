import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import {
  EMPTY_ROOT,
  consistencyPath,
  inclusionPath,
  leafHash,
  nodeHash,
  verifyConsistency,
  verifyInclusion,
} from '../../src/audit/merkle.ts'
import { createTree } from '../../src/audit/tree.ts'
import { toHex, utf8 } from '../../src/bytes.ts'
import { VerificationError } from '../../src/errors.ts'

const SIZE = 300
const leaves = Array.from({ length: SIZE }, (_, n) => leafHash(utf8(`leaf ${n}`)))
const tree = createTree()
for (const leaf of leaves) tree.append(leaf)

/** MTH straight from its definition in RFC 9162 §2.1.1, with no shortcut to share a fault with. */
function definition(part: readonly Uint8Array[]): Uint8Array {
  if (part.length === 0) return EMPTY_ROOT
  if (part.length === 1) return part[0]!
  let k = 1
  while (k * 2 < part.length) k *= 2
  return nodeHash(definition(part.slice(0, k)), definition(part.slice(k)))
}

const sizes = fc.integer({ min: 1, max: SIZE })
const indexAndSize = sizes.chain((size) =>
  fc.record({ size: fc.constant(size), index: fc.integer({ min: 0, max: size - 1 }) }),
)
const firstAndSecond = sizes.chain((second) =>
  fc.record({ second: fc.constant(second), first: fc.integer({ min: 0, max: second }) }),
)

const flipped = (hash: Uint8Array, bit: number): Uint8Array => {
  const copy = hash.slice()
  copy[bit >> 3]! ^= 1 << (bit & 7)
  return copy
}
const refused = (requirement: string) => (error: unknown) => {
  expect(error).toBeInstanceOf(VerificationError)
  expect(error).toMatchObject({ code: 'PROOF_INVALID', requirement })
  return true
}
function mustRefuse(requirement: string, action: () => void): void {
  try {
    action()
  } catch (error) {
    refused(requirement)(error)
    return
  }
  expect.unreachable('the proof was accepted')
}

describe('roots', () => {
  it('equal the definition', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: SIZE }), (size) => {
        expect(toHex(tree.root(size))).toBe(toHex(definition(leaves.slice(0, size))))
      }),
    )
  })
})

describe('inclusion proofs', () => {
  it('hold for every entry of every size', () => {
    fc.assert(
      fc.property(indexAndSize, ({ index, size }) => {
        const proof = inclusionPath(tree, index, size)
        expect(proof.length).toBeLessThanOrEqual(Math.ceil(Math.log2(size)))
        verifyInclusion({ leafHash: leaves[index]!, index, size, root: tree.root(size), proof })
      }),
      { numRuns: 1000 },
    )
  })

  it('do not hold after any change', () => {
    fc.assert(
      fc.property(indexAndSize, fc.nat({ max: 255 }), fc.nat(), ({ index, size }, bit, where) => {
        const proof = inclusionPath(tree, index, size)
        const claim = { leafHash: leaves[index]!, index, size, root: tree.root(size), proof }
        const changes = [
          { ...claim, leafHash: flipped(claim.leafHash, bit) },
          { ...claim, root: flipped(claim.root, bit) },
          { ...claim, proof: [...proof, flipped(claim.root, bit)] },
          { ...claim, index: size },
          { ...claim, index: -1 },
          { ...claim, index: index + 0.5 },
          { ...claim, root: claim.root.subarray(1) },
        ]
        if (proof.length > 0) {
          const at = where % proof.length
          changes.push(
            { ...claim, proof: proof.with(at, flipped(proof[at]!, bit)) },
            { ...claim, proof: proof.toSpliced(at, 1) },
            { ...claim, proof: proof.slice(1) },
            { ...claim, index: (index + 1) % size },
          )
        }
        for (const change of changes) mustRefuse('LOG-PROOF-1', () => verifyInclusion(change))
      }),
      { numRuns: 300 },
    )
  })
})

describe('consistency proofs', () => {
  it('hold for every pair of sizes', () => {
    fc.assert(
      fc.property(firstAndSecond, ({ first, second }) => {
        const proof = consistencyPath(tree, first, second)
        const [firstRoot, secondRoot] = [tree.root(first), tree.root(second)]
        verifyConsistency({ first, firstRoot, second, secondRoot, proof })
      }),
      { numRuns: 1000 },
    )
  })

  it('do not hold after any change', () => {
    fc.assert(
      fc.property(
        firstAndSecond,
        fc.nat({ max: 255 }),
        fc.nat(),
        ({ first, second }, bit, where) => {
          const proof = consistencyPath(tree, first, second)
          const [firstRoot, secondRoot] = [tree.root(first), tree.root(second)]
          const claim = { first, firstRoot, second, secondRoot, proof }
          const changes = [
            { ...claim, firstRoot: flipped(firstRoot, bit) },
            { ...claim, proof: [...proof, flipped(secondRoot, bit)] },
            { ...claim, first: second + 1 },
            { ...claim, first: -1 },
            { ...claim, secondRoot: secondRoot.subarray(1) },
          ]
          if (first > 0) changes.push({ ...claim, secondRoot: flipped(secondRoot, bit) })
          if (proof.length > 0) {
            const at = where % proof.length
            changes.push(
              { ...claim, proof: proof.with(at, flipped(proof[at]!, bit)) },
              { ...claim, proof: proof.toSpliced(at, 1) },
              { ...claim, proof: [] },
            )
          }
          for (const change of changes) mustRefuse('LOG-PROOF-2', () => verifyConsistency(change))
        },
      ),
      { numRuns: 300 },
    )
  })

  it('do not hold for a log that was changed below the first size', () => {
    const other = createTree()
    for (const [n, leaf] of leaves.entries()) other.append(n === 5 ? flipped(leaf, 0) : leaf)
    for (const first of [6, 8, 100, 299]) {
      mustRefuse('LOG-PROOF-2', () =>
        verifyConsistency({
          first,
          firstRoot: tree.root(first),
          second: SIZE,
          secondRoot: other.root(SIZE),
          proof: consistencyPath(other, first, SIZE),
        }),
      )
    }
  })
})
