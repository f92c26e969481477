/** The one interface of the stores: SQLite with segment files, and PostgreSQL. One test suite runs on both. */
import type {
  BlockContent,
  BlockInfo,
  CollectionInfo,
  CollectionState,
  Filter,
  IngestSession,
  KeyEpoch,
  Place,
  RecordContent,
  StoredRecord,
} from './types.ts'

/** A record of the collection that must still have the version it was read with. */
export interface Expected {
  readonly token: Uint8Array
  readonly version: number
}

/** A record to write. */
export interface NewRecord extends RecordContent {
  /** Index in {@link Change.blocks} and slot there; absent: into the tail. */
  readonly place?: { readonly block: number; readonly slot: number } | undefined
  /** Other tokens of the same id (of other epochs), whose records this one replaces. */
  readonly replaces?: readonly Uint8Array[] | undefined
  /**
   * Re-encryption of a stored record: written only while that record still has that version, and in its
   * stead; skipped otherwise, which leaves the slot dead. Also skipped, and the stored record removed, when
   * {@link RecordContent.token} has a record with a larger version: of a writer that did not say what it replaces.
   */
  readonly instead?: Expected | undefined
}

/** A stored record that comes into a new block as it is; it keeps its version. */
export interface Move extends Expected {
  /** Index in {@link Change.blocks}. */
  readonly block: number
  readonly slot: number
}

/**
 * One atomic change. Order of effect: epochs and sessions, blocks, deletions, records, moves, removal of
 * blocks, of sessions, of epochs. What contradicts itself (a token written twice, two records for one
 * slot) or the store (an unknown epoch, a block that is gone) is refused as a whole.
 *
 * Blocks, records and sessions are of the collection's newest epoch, else EPOCH_OUTDATED: a writer knows the
 * tokens that an id has under the epochs before its own and can replace what is there, but not those of later
 * ones. So no id ever has two records.
 */
export interface Change {
  /** Id of the collection it was made for; COLLECTION_NOT_FOUND when the name stands for another one now. */
  readonly collection?: string
  /** New ones are newer than all there are; one that is there with the same check value is no error. */
  readonly epochs?: readonly KeyEpoch[]
  readonly sessions?: readonly IngestSession[]
  readonly blocks?: readonly BlockContent[]
  /** Tokens of records to delete; unknown ones are no error. */
  readonly delete?: readonly Uint8Array[]
  /** Records to delete only while they are what was read. */
  readonly deleteUnchanged?: readonly Expected[]
  /** A record with the same token is replaced (upsert); its old slot is dead. */
  readonly records?: readonly NewRecord[]
  readonly moves?: readonly Move[]
  /** Numbers of blocks to remove. Records that are still placed in one come into the tail; none is lost. */
  readonly removeBlocks?: readonly number[]
  /** Sessions to forget, unless a block or record has them: those stay. */
  readonly removeSessions?: readonly string[]
  /** Epochs to forget, with their sessions; STORE_INVALID for the newest and while a block or record has one. */
  readonly removeEpochs?: readonly number[]
}

/** What a change did. Returned when it is durable. */
export interface Committed {
  readonly sequence: number
  /** Numbers given to {@link Change.blocks}, in order. */
  readonly blocks: readonly number[]
  readonly deleted: number
  /** Records, moves and deletions that met another version. */
  readonly skipped: number
}

/** Which blocks: all, or one of `of` equal hash partitions (block number modulo `of`). */
export interface Partition {
  readonly index: number
  readonly of: number
}

/** What a verification of a store's own files found. */
export interface StoreFault {
  /** Segment file, table or block. */
  readonly where: string
  readonly what: string
}

/** Bytes of the files that blocks and records are in. */
export interface Space {
  readonly bytes: number
  /** Of these, bytes of what is there; the rest is deleted, and given back once it is worth a copy. */
  readonly live: number
}

/**
 * Keeps collections. Every write is atomic and durable when its promise resolves, and safe beside other
 * processes that read. Methods that take a collection's name throw EmbeddingError COLLECTION_NOT_FOUND.
 */
export interface EmbeddingStore extends AsyncDisposable {
  /** @throws EmbeddingError COLLECTION_EXISTS. */
  createCollection(info: CollectionInfo, epoch: KeyEpoch): Promise<void>
  /** Names, sorted. */
  collections(): Promise<readonly string[]>
  collection(name: string): Promise<CollectionState>
  dropCollection(name: string): Promise<void>
  /** @throws EmbeddingError STORE_INVALID when the change contradicts itself or the store; EPOCH_OUTDATED; StorageError. */
  commit(name: string, change: Change): Promise<Committed>

  blocks(name: string, partition?: Partition): Promise<readonly BlockInfo[]>
  /** Bytes of blocks, in any order; a block that was removed meanwhile is left out. Checked against their checksum. */
  readBlocks(
    name: string,
    blocks: readonly number[],
  ): AsyncIterable<{ readonly block: number; readonly bytes: Uint8Array }>
  /**
   * Per block one bit per slot (slot 0 is bit 0 of byte 0; length ceil(slots / 8)): holds a record that the
   * filter matches. Blocks without such a slot are left out. One state: that of `sequence`.
   */
  live(
    name: string,
    filter?: Filter,
    partition?: Partition,
  ): Promise<{ readonly sequence: number; readonly blocks: ReadonlyMap<number, Uint8Array> }>
  /** All records outside blocks, by version. `sequence`: that of the collection when the tail last changed. */
  tail(
    name: string,
  ): Promise<{ readonly sequence: number; readonly records: readonly StoredRecord[] }>
  records(name: string, places: readonly Place[]): Promise<readonly (StoredRecord | undefined)[]>
  /** Records by token, in order. */
  find(name: string, tokens: readonly Uint8Array[]): Promise<readonly (StoredRecord | undefined)[]>
  /** Records by version; resumes after one. Sees each record that is not written meanwhile exactly once. */
  all(
    name: string,
    options?: { readonly after?: number; readonly epoch?: number },
  ): AsyncIterable<StoredRecord>
  /** Records of one block by slot. */
  inBlock(name: string, block: number): Promise<readonly StoredRecord[]>
  /**
   * Gives back the space of what is deleted, in steps between which others can write: afterwards no file is
   * dead by more than a quarter, unless it is damaged or the disk is full. Absent where the database does this
   * by itself.
   */
  readonly reclaim?: (options?: { readonly signal?: AbortSignal | undefined }) => Promise<Space>
  /** Reads everything the store keeps and checks it against its checksums; empty: sound. */
  verify(name: string): AsyncIterable<StoreFault>
}
