/** What a store must be after a power loss, from what was acknowledged before it. */
import { sha256, toHex, utf8 } from '../../src/bytes.ts'
import { openEmbeddedStore } from '../../src/he/embedded-store.ts'
import type { EmbeddingStore } from '../../src/he/store.ts'
import type { Call } from './power-loss-record.ts'
import { collect, contentOf, epochOf, info, record } from './store-content.ts'
import { viewOf } from './store-model.ts'

/** So small that nearly every change begins a new segment. */
export const LOSS_SEGMENT_BYTES = 6000

const plain = (_: string, value: unknown): unknown =>
  value instanceof Uint8Array ? toHex(sha256(value)) : value

/** Says all that a store has: collections, blocks and their bytes, records and their places. */
export async function fingerprint(store: EmbeddingStore): Promise<string> {
  const all: unknown[] = []
  for (const name of await store.collections()) {
    const view = await viewOf(store, name)
    const bytes = await collect(
      store.readBlocks(
        name,
        view.blocks.map(({ block }) => block),
      ),
    )
    if (bytes.length !== view.blocks.length) throw new Error('a block has no bytes')
    all.push({ state: await store.collection(name), view, bytes })
  }
  return toHex(sha256(utf8(JSON.stringify(all, plain)))).slice(0, 24)
}

/** What may be in the store after a power loss. */
export interface Allowed {
  /** Whether the store was said to be there. */
  readonly made: boolean
  /** What was acknowledged, and what a step that is not may have done; undefined: nobody can say. */
  readonly prints: ReadonlySet<string> | undefined
}

/** Per number of calls that were made, what is allowed then. `there`: the store was there before. */
export function allowedAfter(calls: readonly Call[], there: boolean): readonly Allowed[] {
  const lines = calls.map((call) =>
    call.is === 'say' ? Buffer.from(call.data).toString('utf8').trim().split(' ') : [],
  )
  const allowed: Allowed[] = []
  let made = there
  const first = there ? lines.find(([word]) => word === 'seen') : undefined
  let prints: ReadonlySet<string> | undefined = new Set(first?.slice(2, 3))
  for (const [at, [word, , print = '']] of lines.entries()) {
    // A step that failed, or was cut off, may be done or not.
    if (word === 'try') {
      const [outcome, , result = ''] =
        lines.slice(at + 1).find(([next]) => next !== undefined && next !== 'try') ?? []
      prints = outcome === 'failed' ? undefined : prints && new Set([...prints, result])
    }
    if (word === 'done') [made, prints] = [true, new Set([print])]
    if (word === 'seen') prints = prints && new Set([...prints, print])
    allowed.push({ made, prints })
  }
  return allowed
}

/** Opens a store that a power loss left and uses it. @throws Error that says what is wrong. */
export async function checkLoss(directory: string, allowed: Allowed): Promise<void> {
  const options = { segmentBytes: LOSS_SEGMENT_BYTES, create: !allowed.made }
  let read: string | undefined
  if (allowed.made) {
    await using store = await openEmbeddedStore(directory, { readOnly: true })
    read = await fingerprint(store)
  }
  let after: string
  {
    await using store = await openEmbeddedStore(directory, options)
    const found = await fingerprint(store)
    if (found !== (read ?? found)) throw new Error('a reader and a writer show different things')
    const names = await store.collections()
    if (!allowed.made) {
      if (names.length > 0) throw new Error(`a new store has ${names.join()}`)
    } else if (allowed.prints?.has(found) === false) {
      throw new Error(`what is there was never there: ${names.join()}`)
    }
    await verified(store)
    // Writing is what makes the store put its files in order.
    const [name = 'fresh'] = names
    if (names.length === 0) await store.createCollection(info(name), epochOf(1))
    const { epochs } = await store.collection(name)
    const one = record({ epoch: epochs.at(-1)?.epoch ?? 1 })
    await store.commit(name, { records: [one] })
    const [stored] = await store.find(name, [one.token])
    const wanted = JSON.stringify(contentOf(one), plain)
    if (stored === undefined || JSON.stringify(contentOf(stored), plain) !== wanted) {
      throw new Error('what was written after the loss is not there')
    }
    await verified(store)
    after = await fingerprint(store)
  }
  await using store = await openEmbeddedStore(directory, { readOnly: true })
  if ((await fingerprint(store)) !== after) throw new Error('a second opening shows something else')
}

async function verified(store: EmbeddingStore): Promise<void> {
  for (const name of await store.collections()) {
    const [fault] = await collect(store.verify(name))
    if (fault !== undefined) throw new Error(`verify: ${fault.where}: ${fault.what}`)
  }
}
