/** Ingest with public keys only: what it has encrypted it cannot decrypt. */
import { blockMac } from './block-mac.ts'
import { type BlockSealer, sealItem } from './block-sealer.ts'
import { type Ingest, ingestWith } from './ingest.ts'
import { newSession, parseIngestKit } from './ingest-kit.ts'
import { geometryOf } from './parameters.ts'
import { createSealPublic } from './seal-public.ts'
import type { EmbeddingStore } from './store.ts'
import { idToken } from './tokens.ts'
import { wipe } from '../bytes.ts'
import { EmbeddingError } from '../errors.ts'

/**
 * Opens an ingest kit of {@link KeyHolder.ingestKit} on the store the collection is in.
 * @throws FormatError for bytes that are no kit, EmbeddingError KEY_MISMATCH when it is of another collection.
 */
export async function createIngest(kitBytes: Uint8Array, store: EmbeddingStore): Promise<Ingest> {
  const kit = parseIngestKit(kitBytes)
  const { info, epoch } = kit
  const state = await store.collection(info.name)
  const known = state.epochs.find((one) => one.epoch === epoch)
  if (state.info.id !== info.id || known === undefined) {
    throw new EmbeddingError(
      'KEY_MISMATCH',
      'the kit is not of this collection or of a retired epoch',
      {
        where: info.name,
        hint: 'ask the key holder for a new kit',
      },
    )
  }
  const geometry = geometryOf(info)
  const seal = await createSealPublic(geometry, kit.publicKey)
  const { session, recordKey, macKey } = await newSession(kit)
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
      return [idToken(kit.idToken, info.id, id)]
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
      wipe(recordKey, macKey, kit.idToken, kit.filterToken)
      seal.dispose()
    },
  })
}
