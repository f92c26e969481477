/**
 * Trees that grow by one leaf at a time and keep the hash of every complete subtree, so that an append
 * costs O(log n) hashes at worst (two on average) and a root or proof O(log n) look-ups.
 */
import { type HashReader, HASH_BYTES, nodeHash, rootOf } from './merkle.ts'

/** An append-only tree in memory. */
export interface Tree extends HashReader {
  readonly size: number
  append(leaf: Uint8Array): void
  /** RFC 6962 root of the first `size` leaves (all by default). */
  root(size?: number): Uint8Array
}

/** Hashes of one level, packed: a million small arrays would cost three times the memory. */
function createLevel() {
  let bytes = new Uint8Array(16 * HASH_BYTES)
  let count = 0
  return {
    push(hash: Uint8Array): void {
      if ((count + 1) * HASH_BYTES > bytes.length) {
        const larger = new Uint8Array(bytes.length * 2)
        larger.set(bytes)
        bytes = larger
      }
      bytes.set(hash, count * HASH_BYTES)
      count += 1
    },
    at(index: number): Uint8Array {
      if (index < 0 || index >= count) throw new RangeError(`no subtree hash ${index} of ${count}`)
      return bytes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES)
    },
  }
}

/** A tree all in memory. */
export function createTree(): Tree {
  const levels = [createLevel()]
  let size = 0
  const level = (n: number) => {
    const found = levels[n]
    if (found === undefined) throw new RangeError(`no subtree of level ${n}`)
    return found
  }
  const tree: Tree = {
    get size() {
      return size
    },
    append(leaf) {
      let hash = leaf
      level(0).push(hash)
      // A leaf at an odd place completes the subtree with its left neighbour, and so on upward.
      for (let n = 0, index = size; index % 2 === 1; n += 1, index = Math.floor(index / 2)) {
        hash = nodeHash(level(n).at(index - 1), hash)
        if (levels.length === n + 1) levels.push(createLevel())
        level(n + 1).push(hash)
      }
      size += 1
    },
    node: (n, index) => level(n).at(index),
    root: (of = size) => rootOf(tree, of),
  }
  return tree
}

/**
 * A tree cut into subtrees of `2 ** height` leaves of which only the last is in memory; of the others only
 * their roots are, and `load` brings one back for a proof. The last one loaded is kept.
 */
export function createCutTree(height: number, load: (subtree: number) => Tree): Tree {
  const width = 2 ** height
  const closed = createTree()
  let open = createTree()
  let loaded: { subtree: number; tree: Tree } | undefined

  const subtreeAt = (subtree: number): Tree => {
    if (subtree === closed.size) return open
    if (loaded?.subtree !== subtree) loaded = { subtree, tree: load(subtree) }
    return loaded.tree
  }
  const tree: Tree = {
    get size() {
      return closed.size * width + open.size
    },
    append(leaf) {
      open.append(leaf)
      if (open.size < width) return
      // Kept as the one loaded: the next checkpoint's consistency proof starts in it.
      loaded = { subtree: closed.size, tree: open }
      closed.append(open.node(height, 0))
      open = createTree()
    },
    node(level, index) {
      if (level >= height) return closed.node(level - height, index)
      const perSubtree = 2 ** (height - level)
      return subtreeAt(Math.floor(index / perSubtree)).node(level, index % perSubtree)
    },
    root: (of = tree.size) => rootOf(tree, of),
  }
  return tree
}
