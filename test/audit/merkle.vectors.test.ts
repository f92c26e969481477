import { readFileSync } from 'node:fs'

import { beforeAll, describe, expect, it } from 'vitest'

import {
  consistencyPath,
  inclusionPath,
  leafHash,
  verifyConsistency,
  verifyInclusion,
} from '../../src/audit/merkle.ts'
import { type Tree, createCutTree, createTree } from '../../src/audit/tree.ts'
import { fromHex, toBase64, toHex, utf8 } from '../../src/bytes.ts'
import { buildGo, runGo } from './go-programs.ts'
import { scratch } from './scratch.ts'

interface ReferenceTree {
  entries: string[]
  roots: string[]
  inclusion: { index: number; size: number; proof: string[] }[]
  consistency: { first: number; second: number; proof: string[] }[]
}

const reference = JSON.parse(
  readFileSync(new URL('../vectors/rfc6962/reference-tree.json', import.meta.url), 'utf8'),
) as ReferenceTree

function treeOf(leaves: readonly Uint8Array[]): Tree {
  const tree = createTree()
  for (const leaf of leaves) tree.append(leaf)
  return tree
}

describe('RFC 6962 reference tree', () => {
  const leaves = reference.entries.map((entry) => leafHash(fromHex(entry)))
  const tree = treeOf(leaves)
  const root = (size: number) => fromHex(reference.roots[size] ?? '')

  it.each(reference.roots.map((hex, size) => ({ size, hex })))('root of $size', ({ size, hex }) => {
    expect(toHex(tree.root(size))).toBe(hex)
    expect(toHex(treeOf(leaves.slice(0, size)).root())).toBe(hex)
  })

  it.each(reference.inclusion)('inclusion of $index in $size', ({ index, size, proof }) => {
    expect(inclusionPath(tree, index, size).map(toHex)).toEqual(proof)
    const claim = { leafHash: leaves[index]!, index, size, root: root(size) }
    expect(() => verifyInclusion({ ...claim, proof: proof.map((h) => fromHex(h)) })).not.toThrow()
  })

  it.each(reference.consistency)('consistency $first to $second', ({ first, second, proof }) => {
    expect(consistencyPath(tree, first, second).map(toHex)).toEqual(proof)
    const claim = { first, firstRoot: root(first), second, secondRoot: root(second) }
    expect(() => verifyConsistency({ ...claim, proof: proof.map((h) => fromHex(h)) })).not.toThrow()
  })
})

describe('Go x/mod/sumdb/tlog', () => {
  const SIZE = 70
  const { root: dir } = scratch()
  let go: { Roots: string[]; Inclusion: string[][][]; Consistency: (string[] | null)[][] }
  beforeAll(() => {
    const { accepted, output } = runGo(buildGo('tlog-oracle/main.go', dir), [String(SIZE)])
    expect(accepted).toBe(true)
    go = JSON.parse(output) as typeof go
  })
  const leaves = Array.from({ length: SIZE }, (_, n) => leafHash(utf8(String(n))))
  const cut = createCutTree(3, (at) => treeOf(leaves.slice(at * 8, at * 8 + 8)))
  for (const leaf of leaves) cut.append(leaf)

  it.each([
    ['a tree in memory', treeOf(leaves)],
    ['a tree cut into subtrees', cut],
  ])('gives the same roots and proofs as %s', (_name, tree) => {
    for (let second = 1; second <= SIZE; second += 1) {
      expect(toBase64(tree.root(second))).toBe(go.Roots[second])
      for (let n = 0; n < second; n += 1) {
        expect(inclusionPath(tree, n, second).map(toBase64)).toEqual(
          go.Inclusion[second]?.[n] ?? [],
        )
        expect(consistencyPath(tree, n + 1, second).map(toBase64)).toEqual(
          go.Consistency[second]?.[n + 1] ?? [],
        )
      }
    }
  })
})
