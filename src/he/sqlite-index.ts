/**
 * The index of an embedded store: one SQLite database in WAL mode with synchronous=FULL, so that a
 * commit is on the disk when it returns (https://sqlite.org/wal.html, pragma synchronous). It holds
 * everything but the long bytes, which are in segment files. node:sqlite works synchronously: each
 * transaction here is one turn of the event loop, so nothing of this process can come in between.
 */
import { chmodSync, closeSync, openSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'

import { storageError, syncDirectory } from '../durable.ts'
import { EmbeddingError, StorageError } from '../errors.ts'

/** File name of the index. */
export const INDEX_FILE = 'index.sqlite'
/** An index that is being made. */
export const INDEX_DRAFT = `${INDEX_FILE}.new`
/** `KRHE`, see https://sqlite.org/fileformat2.html#application_id. */
export const APPLICATION_ID = 0x4b524845
const SCHEMA_VERSION = 1
/** How long to wait for another process that holds a lock of SQLite, which it does for moments only. */
const BUSY_MS = 5000
/** Page cache of a connection, in KiB. Tokens are random, so that writes go all over their index. */
const CACHE_KIB = 64 << 10
/** Pages of the write-ahead log after which they go into the database: 16 MiB. */
const CHECKPOINT_PAGES = 4096

/**
 * `segment`, `at`, `length`: where the bytes are. `live` of a segment: bytes that rows refer to.
 * `alive` of a block, `slots` of a posting: one bit per slot. A posting says which slots of a block were
 * sealed with a token; slots are never used twice, so it is right for as long as the block is there.
 * Collections and fields go by number. `dropped`: collections whose rows are still to be removed.
 */
const SCHEMA = `
  CREATE TABLE collection (
    number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, info TEXT NOT NULL,
    crc INTEGER NOT NULL, sequence INTEGER NOT NULL, tail_sequence INTEGER NOT NULL, next_version INTEGER NOT NULL,
    records INTEGER NOT NULL, tail INTEGER NOT NULL, blocks INTEGER NOT NULL) STRICT;
  CREATE TABLE dropped (collection INTEGER PRIMARY KEY) STRICT;
  CREATE TABLE epoch (
    collection INTEGER NOT NULL, epoch INTEGER NOT NULL, kcv TEXT NOT NULL,
    PRIMARY KEY (collection, epoch)) STRICT, WITHOUT ROWID;
  CREATE TABLE session (
    number INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL, id TEXT NOT NULL,
    epoch INTEGER NOT NULL, sealed_key BLOB NOT NULL, UNIQUE (collection, id)) STRICT;
  CREATE TABLE segment (
    number INTEGER PRIMARY KEY AUTOINCREMENT, size INTEGER NOT NULL, live INTEGER NOT NULL) STRICT;
  CREATE TABLE block (
    number INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL, uid TEXT NOT NULL,
    epoch INTEGER NOT NULL, session INTEGER NOT NULL, mac BLOB NOT NULL, slots INTEGER NOT NULL,
    alive BLOB NOT NULL, alive_count INTEGER NOT NULL,
    segment INTEGER NOT NULL, at INTEGER NOT NULL, length INTEGER NOT NULL, crc INTEGER NOT NULL,
    UNIQUE (collection, uid)) STRICT;
  CREATE INDEX block_collection ON block (collection, number);
  CREATE INDEX block_segment ON block (segment, at);
  CREATE TABLE record (
    collection INTEGER NOT NULL, version INTEGER NOT NULL, token BLOB NOT NULL,
    epoch INTEGER NOT NULL, session INTEGER NOT NULL, filters BLOB NOT NULL,
    block INTEGER, slot INTEGER,
    segment INTEGER NOT NULL, at INTEGER NOT NULL, length INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (collection, version)) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX record_token ON record (collection, token);
  CREATE UNIQUE INDEX record_place ON record (block, slot) WHERE block IS NOT NULL;
  CREATE INDEX record_tail ON record (collection, version) WHERE block IS NULL;
  CREATE INDEX record_segment ON record (segment, at);
  CREATE TABLE posting (
    collection INTEGER NOT NULL, field INTEGER NOT NULL, token BLOB NOT NULL,
    block INTEGER NOT NULL, slots BLOB NOT NULL,
    PRIMARY KEY (collection, field, token, block)) STRICT, WITHOUT ROWID;
  CREATE INDEX posting_block ON posting (block);
`

/** A row as SQLite gives it. */
export type Row = Readonly<Record<string, SQLInputValue>>

/** An open index. All calls are synchronous. */
export interface Index {
  readonly path: string
  run(sql: string, ...values: SQLInputValue[]): number | bigint
  /** Rows changed by the last statement that {@link Index.run} ran. */
  changes(): number
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- says what the columns are
  get<T = Row>(sql: string, ...values: SQLInputValue[]): T | undefined
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- says what the columns are
  all<T = Row>(sql: string, ...values: SQLInputValue[]): readonly T[]
  /** One state: nothing that others commit meanwhile is seen. */
  read<T>(action: () => T): T
  /** All or nothing, and durable when it returns. `onCommit` runs right before the commit itself. */
  write<T>(action: () => T, onCommit?: () => void): T
  close(): void
}

const RIGHTS =
  'SQLite keeps index.sqlite-wal and index.sqlite-shm beside the index, for readers too: this user must be allowed to write there'

const HINTS: Readonly<Record<number, readonly [got: string, hint: string]>> = {
  8: ['SQLITE_READONLY', RIGHTS],
  10: ['SQLITE_IOERR', 'the disk reports errors; check it before going on'],
  13: ['ENOSPC', 'free disk space, then go on; what was acknowledged is safe'],
  14: ['SQLITE_CANTOPEN', RIGHTS],
}
const SQLITE_BUSY = 5
const SQLITE_CORRUPT = 11
const SQLITE_NOTADB = 26

/** What node:sqlite threw, as an error of ours. */
function indexError(path: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || !('errcode' in cause)) return cause
  // The low byte is the primary result code, https://sqlite.org/rescode.html.
  const code = Number(cause.errcode) & 0xff
  if (code === SQLITE_BUSY) {
    const hint = 'try again; if it stays like this, look which process has the file open'
    return new StorageError('LOCKED', 'another process is using the index', { where: path, hint })
  }
  if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB) {
    return new EmbeddingError('STORE_INVALID', 'the index is damaged', {
      where: path,
      got: cause.message,
      hint: 'bring the directory back from a backup',
      cause,
    })
  }
  const known = HINTS[code]
  // Anything else is a mistake in a statement, which no caller can do anything about.
  if (known === undefined) return cause
  const [got, hint] = known
  return new StorageError('STORAGE', 'the index could not be read or written', {
    where: path,
    got,
    hint,
    cause,
  })
}

function connect(path: string, readOnly: boolean): DatabaseSync {
  const database = new DatabaseSync(path, {
    readOnly,
    enableForeignKeyConstraints: false,
    allowExtension: false,
  })
  try {
    database.exec(`PRAGMA busy_timeout = ${BUSY_MS}; PRAGMA synchronous = FULL`)
    database.exec(`PRAGMA cache_size = -${CACHE_KIB}`)
    database.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}; PRAGMA trusted_schema = OFF`)
    return database
  } catch (cause) {
    database.close()
    throw cause
  }
}

/** Makes the index of a new store: a whole one, or none. Nobody else may be making one. */
export async function createIndex(directory: string): Promise<void> {
  const draft = join(directory, INDEX_DRAFT)
  try {
    for (const end of ['', '-journal', '-wal', '-shm']) rmSync(`${draft}${end}`, { force: true })
    // SQLite takes over the mode of the database for its other files.
    closeSync(openSync(draft, 'wx', 0o600))
    chmodSync(draft, 0o600)
    const database = connect(draft, false)
    try {
      database.exec(`BEGIN; ${SCHEMA}; COMMIT`)
      database.exec(`PRAGMA application_id = ${APPLICATION_ID}`)
      database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`)
      database.exec('PRAGMA journal_mode = WAL')
    } finally {
      // The last connection puts the write-ahead log into the database and syncs it.
      database.close()
    }
    renameSync(draft, join(directory, INDEX_FILE))
  } catch (cause) {
    const error = indexError(draft, cause)
    throw error === cause ? storageError(draft, cause) : error
  }
  await syncDirectory(directory)
}

function checkVersion(path: string, database: DatabaseSync): void {
  const version = Object.values(database.prepare('PRAGMA user_version').get() ?? {})[0]
  if (version !== SCHEMA_VERSION) {
    throw new EmbeddingError('STORE_INVALID', 'the store was written by another version', {
      where: path,
      expected: `schema version ${SCHEMA_VERSION}`,
      got: `schema version ${String(version)}`,
      hint: 'open it with the keyrite version that wrote it, or a newer one',
    })
  }
}

/** @throws EmbeddingError STORE_INVALID when it is damaged or of another version; StorageError. */
export function openIndex(directory: string, readOnly: boolean): Index {
  const path = join(directory, INDEX_FILE)
  const guarded = <T>(action: () => T): T => {
    try {
      return action()
    } catch (cause) {
      throw indexError(path, cause)
    }
  }
  const database = guarded(() => {
    const opened = connect(path, readOnly)
    try {
      checkVersion(path, opened)
      return opened
    } catch (cause) {
      opened.close()
      throw cause
    }
  })
  const statements = new Map<string, StatementSync>()
  const statement = (sql: string): StatementSync => {
    const known = statements.get(sql)
    if (known !== undefined) return known
    const prepared = database.prepare(sql)
    statements.set(sql, prepared)
    return prepared
  }
  let changed = 0

  const transaction = <T>(begin: string, action: () => T, onCommit?: () => void): T =>
    guarded(() => {
      database.exec(begin)
      try {
        const result = action()
        onCommit?.()
        database.exec('COMMIT')
        return result
      } catch (cause) {
        // Some errors have rolled back already (https://sqlite.org/lang_transaction.html).
        try {
          database.exec('ROLLBACK')
        } catch {
          // Nothing is open then.
        }
        throw cause
      }
    })

  return {
    path,
    run: (sql, ...values) =>
      guarded(() => {
        const { changes, lastInsertRowid } = statement(sql).run(...values)
        changed = Number(changes)
        return lastInsertRowid
      }),
    changes: () => changed,
    get: (sql, ...values) => guarded(() => statement(sql).get(...values) as never),
    all: (sql, ...values) => guarded(() => statement(sql).all(...values) as never),
    read: (action) => transaction('BEGIN', action),
    write: (action, onCommit) => transaction('BEGIN IMMEDIATE', action, onCommit),
    close: () => {
      statements.clear()
      if (database.isOpen) database.close()
    },
  }
}
