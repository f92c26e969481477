/** Ingest with public keys only: what it has encrypted it cannot decrypt. */
import { blockMac } from './block-mac.ts'
import { type BlockSealer, sealItem } from './block-sealer.ts'
import { type Ingest, ingestWith } from './ingest.ts'
import { type IngestKit, newSession, parseIngestKit } from './ingest-kit.ts'
import { geometryOf } from './parameters.ts'
import { createSealPublic } from './seal-public.ts'
import type { EmbeddingStore } from './store.ts'
import { idToken } from './tokens.ts'
import type { CollectionState } from './types.ts'
import { wipe } from '../bytes.ts'
import { EmbeddingError } from '../errors.ts'

/** Whether the collection takes what is made with the kit. @throws EmbeddingError KEY_MISMATCH, EPOCH_OUTDATED. */
function requireCurrent(kit: IngestKit, { info, epochs }: CollectionState): void {
  const where = `${kit.info.name}, kit of epoch ${kit.epoch}`
  const hint = 'ask the key holder for a new kit'
  const newest = Math.max(...epochs.map(({ epoch }) => epoch))
  if (info.id === kit.info.id && kit.epoch < newest) {
    throw new EmbeddingError('EPOCH_OUTDATED', 'the collection has a newer key than the kit', {
      where,
      expected: `epoch ${newest}`,
      hint,
    })
  }
  const known = new Set([kit.epoch, ...kit.earlier.map(({ epoch }) => epoch)])
  // An id that it cannot name in an epoch would be there twice.
  if (info.id !== kit.info.id || !epochs.every(({ epoch }) => known.has(epoch))) {
    throw new EmbeddingError('KEY_MISMATCH', 'the kit is of another collection', { where, hint })
  }
}

/**
 * Opens an ingest kit of {@link KeyHolder.ingestKit} on the store the collection is in. Once a rotation has
 * begun, insertions end with EPOCH_OUTDATED: it takes a new kit to go on.
 * @throws FormatError for bytes that are no kit, EmbeddingError KEY_MISMATCH when it is of another collection,
 * EPOCH_OUTDATED when a rotation has begun since it was made.
 */
export async function createIngest(kitBytes: Uint8Array, store: EmbeddingStore): Promise<Ingest> {
  const kit = parseIngestKit(kitBytes)
  try {
    requireCurrent(kit, await store.collection(kit.info.name))
    return await openKit(kit, store)
  } catch (error) {
    wipeKit(kit)
    throw error
  }
}

const wipeKit = ({ idToken, filterToken, earlier }: IngestKit): void =>
  wipe(idToken, filterToken, ...earlier.map((one) => one.idToken))

async function openKit(kit: IngestKit, store: EmbeddingStore): Promise<Ingest> {
  const { info, epoch } = kit
  const geometry = geometryOf(info)
  const { session, recordKey, macKey } = await newSession(kit)
  const seal = await createSealPublic(geometry, kit.publicKey).catch((error: unknown) => {
    wipe(recordKey, macKey)
    throw error
  })
  let closed = false
  /** Nothing is made with a key that was wiped while an insertion was under way. */
  const open = (): void => {
    if (closed) throw new EmbeddingError('CLOSED', 'the ingest is closed', { where: info.name })
  }
  const sealer: BlockSealer = {
    info,
    geometry,
    epoch,
    session,
    encrypt: (coefficients) => seal.encrypt(coefficients),
    mac(uid, bytes) {
      open()
      return blockMac(macKey, { collectionId: info.id, uid, epoch, session: session.id }, bytes)
    },
    tokens(id) {
      open()
      return [...kit.earlier, kit].map((one) => idToken(one.idToken, info.id, id))
    },
    record(item) {
      open()
      const keys = { record: recordKey, idToken: kit.idToken, filterToken: kit.filterToken }
      return sealItem(keys, info, { epoch, session: session.id }, item)
    },
  }
  return ingestWith(store, sealer, {
    close: () => {
      closed = true
      wipe(recordKey, macKey)
      wipeKit(kit)
      seal.dispose()
    },
  })
}
