/**
 * What the three parties of an encrypted search hand to each other. No code, and nothing here is secret:
 * a scorer and a store see all of it.
 */

/**
 * How closeness is measured. `cosine` normalises vectors and queries; `inner-product` and `squared-l2`
 * need a bound on the length of the stored vectors ({@link CollectionInfo.maxNorm}).
 * Scores are better when larger, except those of `squared-l2`, which are distances.
 */
export type Metric = 'cosine' | 'inner-product' | 'squared-l2'

/** The public description of a collection. Fixed when it is created; MACs and records are bound to `id`. */
export interface CollectionInfo {
  /** `[a-z0-9]` then up to 62 of `[a-z0-9_-]`. */
  readonly name: string
  /** 16 random bytes, lower-case hex. */
  readonly id: string
  /** A name that spells the parameters, see `parameters.ts`. */
  readonly parameterSet: string
  /** Coordinates of a vector as the caller gives it. */
  readonly dimensions: number
  readonly metric: Metric
  /** Largest Euclidean length of a stored vector; 1 for `cosine`. */
  readonly maxNorm: number
  /** Metadata fields that can be filtered on. */
  readonly fields: readonly string[]
}

/** Who may make what with a key epoch; kept with the collection. Nothing in it is secret. */
export interface KeyEpoch {
  /** 1 for the first seed of a collection, one more with each rotation. */
  readonly epoch: number
  /** Key check value: 16 bytes derived from the seed, hex. Tells a wrong seed before it does harm. */
  readonly check: string
}

/**
 * A run of an ingest that holds only public keys: the random key of its records and MACs, sealed to the
 * key holder with HPKE (RFC 9180).
 */
export interface IngestSession {
  /** 16 random bytes, hex; the empty text stands for the key holder itself. */
  readonly id: string
  readonly epoch: number
  readonly sealedKey: Uint8Array
}

/** Bytes of a keyed hash of an id or of a metadata value. */
export const TOKEN_BYTES = 16

/** Where a vector is in a sealed block. */
export interface Place {
  /** Number the store gave the block. */
  readonly block: number
  /** 0 to vectors per block - 1. */
  readonly slot: number
}

/** A vector as a store keeps it beside the blocks: authenticated ciphertext and keyed hashes. */
export interface RecordContent {
  /** {@link TOKEN_BYTES}: keyed hash of the id under the epoch's id key. Unique in a collection. */
  readonly token: Uint8Array
  readonly epoch: number
  /** Id of an {@link IngestSession}; empty: the epoch's own record key. */
  readonly session: string
  /** AES-256-GCM of id, float32 vector and metadata; see `record.ts`. */
  readonly sealed: Uint8Array
  /** Keyed hash of the value, by field. */
  readonly filters: Readonly<Record<string, Uint8Array>>
}

/** A record as read back. */
export interface StoredRecord extends RecordContent {
  /** Given by the store, larger at each write of the collection. */
  readonly version: number
  /** Undefined: in the unsealed tail. */
  readonly place: Place | undefined
}

/** A sealed block as a store keeps it: ciphertexts of up to N/b vectors. */
export interface BlockContent {
  /** 16 random bytes, hex: what its MAC is bound to. */
  readonly uid: string
  readonly epoch: number
  /** As {@link RecordContent.session}: whose key made the MAC. */
  readonly session: string
  /** The ciphertexts, see `ciphertext-format.ts`. */
  readonly bytes: Uint8Array
  /** HMAC-SHA-256, 32 bytes; see `block-mac.ts`. */
  readonly mac: Uint8Array
  /** Slots in use when it was sealed. */
  readonly slots: number
}

/** A block without its bytes. */
export interface BlockInfo extends Omit<BlockContent, 'bytes'> {
  /** Given by the store. */
  readonly block: number
  /** Bytes of {@link BlockContent.bytes}. */
  readonly length: number
  /** Slots that still hold a record. */
  readonly live: number
}

/** Records that have, for every condition, one of its tokens in its field. */
export type Filter = readonly FilterCondition[]

/** One condition of a {@link Filter}. */
export interface FilterCondition {
  readonly field: string
  /** Keyed hashes; several because several values were asked for or because several epochs are alive. */
  readonly anyOf: readonly Uint8Array[]
}

/** What a scorer knows of a collection. */
export interface CollectionState {
  readonly info: CollectionInfo
  readonly epochs: readonly KeyEpoch[]
  readonly sessions: readonly IngestSession[]
  /** Increases with every change. */
  readonly sequence: number
  readonly records: number
  /** Records that are in no block. */
  readonly tail: number
  /** The sequence at which the tail last changed. */
  readonly tailSequence: number
  readonly blocks: number
}

/** One query, encrypted under the key of each epoch that still has blocks; in `ciphertext-format.ts`. */
export type EncryptedQuery = ReadonlyMap<number, Uint8Array>

/** What a key holder asks a scorer. */
export interface ScanRequest {
  readonly queries: readonly EncryptedQuery[]
  readonly filter?: Filter | undefined
  /** {@link ScanTail.sequence} of a tail the caller has; the same tail is not sent again. */
  readonly knownTail?: number | undefined
}

/** Encrypted scores of one block. */
export interface BlockScores {
  readonly block: number
  readonly epoch: number
  /** One bit per slot, slot 0 is bit 0 of byte 0: live, and matched by the filter. */
  readonly live: Uint8Array
  /** One result ciphertext per query of the request. */
  readonly results: readonly Uint8Array[]
}

/** The records outside blocks, whether or not the filter matches them. */
export interface ScanTail {
  /** {@link CollectionState.tailSequence}: changes when the tail does. */
  readonly sequence: number
  /** Undefined: as the caller has it. */
  readonly records: readonly StoredRecord[] | undefined
}

/** A scan of one state of a collection. */
export interface Scan {
  readonly sequence: number
  readonly tail: ScanTail
  /** Blocks with a slot to consider, in any order, as they are done; read it to the end or `return` it. */
  readonly blocks: AsyncIterable<BlockScores>
}

/** Limits of one call. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** Milliseconds from now; DEADLINE_EXCEEDED after that. */
  readonly timeoutMs?: number | undefined
}

/**
 * The party that computes on ciphertexts: in this process (`createScorer`), behind a socket
 * (`connectScorer`), or workers over PostgreSQL (`queueScorer`). It holds no key.
 */
export interface Scorer extends AsyncDisposable {
  /** @throws EmbeddingError COLLECTION_NOT_FOUND. */
  collection(name: string, options?: CallOptions): Promise<CollectionState>
  /** @throws EmbeddingError COLLECTION_NOT_FOUND, CIPHERTEXT_INVALID, LIMIT_EXCEEDED, ABORTED, DEADLINE_EXCEEDED. */
  scan(name: string, request: ScanRequest, options?: CallOptions): Promise<Scan>
  /** Records at places, in order; undefined where there is none (any more). */
  records(
    name: string,
    places: readonly Place[],
    options?: CallOptions,
  ): Promise<readonly (StoredRecord | undefined)[]>
}

/** A metadata value. Numbers are finite. */
export type MetadataValue = string | number | boolean

/** What is kept, encrypted, beside a vector. */
export type Metadata = Readonly<Record<string, MetadataValue>>

/** A vector as a caller gives it. Kept as float32. */
export interface Item {
  /** 1 to 512 bytes of UTF-8; inserting the same id again replaces the vector. */
  readonly id: string
  readonly vector: Float32Array | readonly number[]
  readonly metadata?: Metadata | undefined
}
