/** What a store must do, said again in the plainest way: maps in memory. Random changes for it. */
import { toHex } from '../../src/bytes.ts'
import type { Change, EmbeddingStore, NewRecord } from '../../src/he/store.ts'
import type { BlockContent, Place, RecordContent } from '../../src/he/types.ts'
import { block, collect, contentOf, record, slotsOf, token } from './store-content.ts'

interface Row {
  readonly content: RecordContent
  readonly version: number
  place: Place | undefined
}

/** Whole numbers below a bound, from a seed (mulberry32). */
export function dice(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

export function createModel() {
  const rows = new Map<string, Row>()
  const blocks = new Map<number, BlockContent>()
  const colours = [token(), token(), token()]

  const find = (wanted: Uint8Array, version: number): Row | undefined => {
    const row = rows.get(toHex(wanted))
    return row?.version === version ? row : undefined
  }
  /** Whether the tail is another one after `action`. */
  const tailKeys = () =>
    [...rows.values()].filter((row) => row.place === undefined).map((row) => row.version)

  return {
    rows,
    blocks,
    colours,

    /** Takes over a change that a store has committed; versions are read back from the store. */
    async apply(store: EmbeddingStore, name: string, change: Change, given: readonly number[]) {
      const before = tailKeys().join()
      let deleted = 0
      let skipped = 0
      for (const [index, content] of (change.blocks ?? []).entries()) {
        blocks.set(given[index]!, content)
      }
      for (const one of change.delete ?? []) deleted += rows.delete(toHex(one)) ? 1 : 0
      for (const { token, version } of change.deleteUnchanged ?? []) {
        if (find(token, version) === undefined) skipped += 1
        else deleted += rows.delete(toHex(token)) ? 1 : 0
      }
      for (const one of change.records ?? []) {
        if (one.instead !== undefined) {
          if (find(one.instead.token, one.instead.version) === undefined) {
            skipped += 1
            continue
          }
          rows.delete(toHex(one.instead.token))
          if ((rows.get(toHex(one.token))?.version ?? 0) > one.instead.version) {
            skipped += 1
            continue
          }
        }
        for (const other of one.replaces ?? []) rows.delete(toHex(other))
        const [stored] = await store.find(name, [one.token])
        if (stored === undefined) throw new Error('a record that was committed is not there')
        rows.delete(toHex(one.token))
        rows.set(toHex(one.token), {
          content: contentOf(one),
          version: stored.version,
          place: one.place && { block: given[one.place.block]!, slot: one.place.slot },
        })
      }
      for (const one of change.moves ?? []) {
        const row = find(one.token, one.version)
        if (row === undefined) skipped += 1
        else row.place = { block: given[one.block]!, slot: one.slot }
      }
      for (const number of change.removeBlocks ?? []) {
        blocks.delete(number)
        for (const row of rows.values()) if (row.place?.block === number) row.place = undefined
      }
      return { deleted, skipped, tailChanged: tailKeys().join() !== before }
    },

    /** A change that does a little of everything. */
    change(roll: (below: number) => number): Change {
      const known = [...rows.values()].sort(() => roll(3) - 1)
      const take = (count: number) => known.splice(0, count)
      const filters = (): Record<string, Uint8Array> =>
        roll(3) === 0 ? {} : { colour: colours[roll(3)]!, size: colours[roll(3)]! }
      const deletions = take(roll(3)).map((row) => row.content.token)
      const stale = () => (roll(5) === 0 ? 1 : 0)
      const unchanged = take(roll(3)).map(({ content: { token }, version }) => {
        return { token, version: version + stale() }
      })
      const content = Array.from({ length: roll(3) }, () => block(1 + roll(20)))
      const free = content.flatMap(({ slots }, index) =>
        Array.from({ length: slots }, (_, slot) => ({ block: index, slot })),
      )
      const records = Array.from({ length: roll(12) }, (): NewRecord => {
        const kind = roll(6)
        const old = kind < 3 ? take(1)[0] : undefined
        const base = record({ filters: filters(), place: roll(2) === 0 ? free.pop() : undefined })
        if (old === undefined) return base
        if (kind === 0) return { ...base, token: old.content.token }
        if (kind === 1) return { ...base, replaces: [old.content.token, token()] }
        const version = old.version + stale()
        return { ...base, instead: { token: old.content.token, version } }
      })
      const moves = take(roll(8)).flatMap(({ content: { token }, version }) => {
        const place = free.pop()
        return place === undefined ? [] : [{ token, version: version + stale(), ...place }]
      })
      const numbers = [...blocks.keys()].sort(() => roll(3) - 1)
      const removeBlocks = roll(3) === 0 ? numbers.slice(0, roll(3)) : []
      return {
        blocks: content,
        delete: roll(4) === 0 ? [...deletions, token()] : deletions,
        deleteUnchanged: unchanged,
        records,
        moves,
        removeBlocks,
      }
    },

    /** The same view a store gives, from the maps. */
    view(colour?: Uint8Array) {
      const all = [...rows.values()].sort((a, b) => a.version - b.version)
      const live = new Map<number, number[]>()
      for (const { content, place } of all) {
        const wanted = colour === undefined || same(content.filters['colour'], colour)
        if (place !== undefined && wanted) {
          live.set(place.block, [...(live.get(place.block) ?? []), place.slot])
        }
      }
      const record = ({ content, version, place }: Row) => ({ ...content, version, place })
      return {
        all: all.map(record),
        tail: all.filter((row) => row.place === undefined).map(record),
        live: [...live]
          .map(([number, slots]) => [number, slots.sort((a, b) => a - b)] as const)
          .sort(([a], [b]) => a - b),
        blocks: [...blocks]
          .map(([number, { bytes, ...rest }]) => {
            const count = all.filter((row) => row.place?.block === number).length
            return { ...rest, block: number, length: bytes.length, live: count }
          })
          .sort((a, b) => a.block - b.block),
      }
    },
  }
}

const same = (a: Uint8Array | undefined, b: Uint8Array) => a !== undefined && toHex(a) === toHex(b)

/** The view of a store that {@link createModel} has of its maps. */
export async function viewOf(store: EmbeddingStore, name: string, colour?: Uint8Array) {
  const filter = colour === undefined ? undefined : [{ field: 'colour', anyOf: [colour] }]
  const live = await store.live(name, filter)
  return {
    all: await collect(store.all(name)),
    tail: (await store.tail(name)).records,
    live: [...live.blocks]
      .map(([number, bits]) => [number, slotsOf(bits)] as const)
      .sort(([a], [b]) => a - b),
    blocks: [...(await store.blocks(name))].sort((a, b) => a.block - b.block),
  }
}
