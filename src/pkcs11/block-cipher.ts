/**
 * The `BlockCipher` port over an AES key on a token. The work is done on another thread, in a session that it
 * has to itself; after an error of the module, or when a recovery stops it, it starts again from its inputs.
 */
import { TokenError } from '../errors.ts'
import { aborted, invalidSymbol, nativeBatch, withCancel } from '../feistel-addon.ts'
import type { NativeCipherOptions } from '../feistel-addon.ts'
import type { BlockCipher, FeistelBatch } from '../ports.ts'
import { checkInteger, refuse } from './arguments.ts'
import { AES_BLOCK } from './block-mechanism.ts'
import type { BlockRoute, ChooseRoute } from './block-route.ts'
import type { Place } from './connection.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { Interrupted } from './jobs.ts'
import type { Job, StartJob } from './jobs.ts'
import type { BlockCipherOptions, BlockOperation } from './types.ts'

/**
 * A key object whose label ends so holds REVB(K), the bytes of K in reverse order: FF3-1 runs AES under REVB(K)
 * (SP 800-38G §5.2), and a key that never leaves its token cannot be reversed there any more.
 */
export const REVERSED_KEY_SUFFIX = '-revb'

/** What a block cipher needs of its key. */
export interface BlockKey {
  readonly label: string
  readonly route: ChooseRoute
  /** `mayStand`: `place.standing` is there, to go on with an open operation or leave one. */
  run<T>(
    work: (place: Place, key: ObjectHandle, start: StartJob) => Promise<T>,
    mayStand: boolean,
  ): Promise<T>
}

const CHUNK_BLOCKS = 1_024
const MAX_CHUNK_BLOCKS = 65_536
const OPERATIONS: readonly BlockOperation[] = ['auto', 'single-part', 'multi-part']

function checkOperation(operation: BlockOperation): BlockOperation {
  if (OPERATIONS.includes(operation)) return operation
  return refuse('blockCipher: operation', OPERATIONS.join(', '), typeof operation)
}

/** What a job is begun with. */
interface Site {
  readonly place: Place
  readonly key: ObjectHandle
  readonly route: BlockRoute
  readonly how: NativeCipherOptions
}

/** The job of one batch of rounds. */
function feistelJob(
  { place, key, route, how }: Site,
  batch: FeistelBatch,
  cancel: Int32Array,
): Job<void> {
  const native = nativeBatch(batch)
  const unwanted = () => batch.signal?.aborted === true
  return {
    stop: () => void Atomics.store(cancel, 0, 1),
    async start() {
      Atomics.store(cancel, 0, 0)
      if (unwanted()) throw aborted()
      const { cryptoki, session } = place
      const outcome = await cryptoki.feistel(session, route.mechanism, key, how, native, cancel)
      place.standing?.leave(outcome.open)
      if (outcome.aborted) throw unwanted() ? aborted() : new Interrupted()
      if (outcome.invalid >= 0) throw invalidSymbol(outcome.invalid)
    },
  }
}

/** @throws TokenError ARGUMENT_INVALID. */
export function blockCipher(source: BlockKey, options: BlockCipherOptions = {}): BlockCipher {
  const { operation: wanted = 'auto', chunkBlocks: most = CHUNK_BLOCKS } = options
  const operation = checkOperation(wanted)
  const chunkBlocks = checkInteger(most, 'blockCipher: chunkBlocks', 1, MAX_CHUNK_BLOCKS)

  /** Known from the first job on; until then no operation may stand open in the session the trial is made in. */
  let mayStand = false

  const run = (job: (site: Site) => Job<void>): Promise<void> =>
    source.run(async (place, key, start) => {
      const { standing } = place
      const route = source.route(place, key, operation)
      const { multiPart, singleBlocks } = route
      mayStand = multiPart
      const leaveOpen = multiPart && standing !== undefined
      const how = {
        multiPart,
        singleBlocks,
        chunkBlocks,
        begun: standing?.open ?? false,
        leaveOpen,
      }
      await start(job({ place, key, route, how }))
    }, mayStand)

  return {
    chunkBlocks,
    reversedKey: source.label.endsWith(REVERSED_KEY_SUFFIX),

    async encryptBlocks(blocks) {
      if (blocks.length === 0 || blocks.length % AES_BLOCK !== 0) {
        throw new TokenError('ARGUMENT_INVALID', 'not whole AES blocks', {
          where: 'encryptBlocks',
          expected: `a positive multiple of ${AES_BLOCK} bytes`,
          got: `${blocks.length} bytes`,
        })
      }
      const output = new Uint8Array(blocks.length)
      await run(({ place: { cryptoki, session, standing }, key, route: { mechanism }, how }) => ({
        start: async () => {
          const { open } = await cryptoki.encryptBlocks(
            session,
            mechanism,
            key,
            how,
            blocks,
            output,
          )
          standing?.leave(open)
        },
        // Over in a moment: nothing to cancel.
        stop: () => undefined,
      }))
      return output
    },

    feistel: (batch) =>
      withCancel(batch.signal, (cancel) => run((site) => feistelJob(site, batch, cancel))),
  }
}
