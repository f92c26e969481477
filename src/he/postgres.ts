/**
 * Collections in PostgreSQL 13 or later, behind the interface of all stores. Writers of a collection wait
 * for each other on its row; readers see whole changes only. The one file that loads `pg` and
 * `pg-copy-streams`, which are optional peers.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Client, PoolConfig } from 'pg'

import { toHex } from '../bytes.ts'
import { errnoOf } from '../errno.ts'
import { ConfigError, EmbeddingError } from '../errors.ts'
import { readBlockBytes, verifyCollection } from './postgres-blocks.ts'
import { applyChange } from './postgres-change.ts'
import type { Database } from './postgres-connection.ts'
import { type PostgresLibraries, createDatabase } from './postgres-database.ts'
import { isConnectionLost, sqlState } from './postgres-error.ts'
import {
  readAll,
  readBlockInfos,
  readBlockRecords,
  readLive,
  readPlaces,
  readState,
  readTail,
  readTokens,
  reading,
} from './postgres-read.ts'
import { checkName } from './postgres-row.ts'
import { prepareSchema } from './postgres-schema.ts'
import { checkCollection, collectionExists, collectionNotFound } from './store-check.ts'
import type { Change, Committed, EmbeddingStore } from './store.ts'
import type { CollectionInfo, KeyEpoch } from './types.ts'

/** For {@link connectPostgres}. */
export interface ConnectOptions {
  /** Connections at most; default 8. */
  readonly poolSize?: number | undefined
  /** Schema of the tables; default `keyrite`. */
  readonly schema?: string | undefined
}

/** For {@link openPostgresStore}. */
export interface PostgresStoreOptions extends ConnectOptions {
  /** Make the schema and its tables when they are missing. */
  readonly create?: boolean | undefined
  /** Write nothing, so that a standby or a role with SELECT only is enough. */
  readonly readOnly?: boolean | undefined
  /** Hash partitions of blocks and of records in a new store; default 16. */
  readonly partitions?: number | undefined
  /**
   * How long a commit asks for its outcome, or tries again, while the server cannot be reached; default
   * 20,000. Afterwards STORE_UNAVAILABLE says whether the change may have been done.
   */
  readonly reconnectMs?: number | undefined
}

const RECONNECT_MS = 20_000
const RETRY_MS = 250

const MISSING = new Set(['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'])

/**
 * Where pg looks for the server, with what the URL leaves out from the PG* variables. A URL with an `@` behind
 * its first slash may have been cut inside of a password, so nothing of it is said.
 */
function serverAddress(config: PoolConfig, client: typeof Client): string {
  if (/^[^:]*:\/\/[^/?#]*[/?#].*@/.test(config.connectionString ?? '')) return 'the host of the URL'
  try {
    const { host, port } = new client(config)
    if (host.startsWith('/')) return `${host}/.s.PGSQL.${port}`
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  } catch {
    // A certificate of the URL cannot be read.
    return 'the host of the URL'
  }
}

async function loadLibraries(): Promise<PostgresLibraries> {
  try {
    const { default: pg } = await import('pg')
    const { from, to } = await import('pg-copy-streams')
    const textParser = pg.types.getTypeParser as PostgresLibraries['textParser']
    const addressOf = (config: PoolConfig): string => serverAddress(config, pg.Client)
    return { Pool: pg.Pool, textParser, addressOf, copyFrom: from, copyTo: to }
  } catch (cause) {
    if (!MISSING.has(errnoOf(cause) ?? '')) throw cause
    throw new ConfigError('the libraries for PostgreSQL are not installed', {
      where: 'pg, pg-copy-streams',
      hint: 'npm i pg pg-copy-streams',
      cause,
    })
  }
}

/**
 * A pool of connections; the first use connects. The URL is
 * `postgresql://user:password@host:port/database?options`; what it leaves out comes from the PG*
 * variables and the password file, as with every client of PostgreSQL.
 *
 * `sslmode=verify-full` (with `sslrootcert=` for a private authority) makes the connection TLS and checks
 * the server's certificate and its name; without `sslmode` a TCP connection is not encrypted, and
 * `sslmode=no-verify` encrypts to whoever answers. Passwords are sent as SCRAM proofs if the server asks so.
 * A pooler in between must keep one connection for a session (pgbouncer: `pool_mode = session`): statements
 * are prepared once, and workers LISTEN.
 *
 * @throws ConfigError for a URL that is none, or when the libraries are not installed.
 */
export async function connectPostgres(
  url: string,
  options: ConnectOptions = {},
): Promise<Database> {
  // Never with the text as a cause: it may hold a password.
  if (!/^postgres(?:ql)?:\/\//.test(url) || !URL.canParse(url)) {
    throw new ConfigError('not a URL of PostgreSQL', {
      expected: 'postgresql://user@host:port/database?sslmode=verify-full',
    })
  }
  const libraries = await loadLibraries()
  const { poolSize = 8, schema = 'keyrite' } = options
  if (!Number.isInteger(poolSize) || poolSize < 2) {
    throw new ConfigError('not a size of a pool', {
      where: 'poolSize',
      expected: '2 or more',
      got: String(poolSize),
    })
  }
  return createDatabase(libraries, { connectionString: url }, { schema, poolSize })
}

/** Starts work one after the other: waiting for a lock on the server would take a connection each. */
function inTurn(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const next = last.then(work, work)
    last = next.catch(() => {})
    return next
  }
}

/**
 * A change that happens once, whatever happens to the connection: each try begins by asking, under the
 * collection's lock, whether an earlier one was committed after all.
 */
async function commitOnce(
  db: Database,
  name: string,
  change: Change,
  reconnectMs: number,
): Promise<Committed> {
  const id = toHex(randomBytes(16))
  const until = performance.now() + reconnectMs
  let unknown = false
  for (;;) {
    try {
      return await db.write(
        (connection) =>
          applyChange(db, connection, name, change, id, () => {
            unknown = false
          }),
        () => {
          unknown = true
        },
      )
    } catch (error) {
      if (!isConnectionLost(error)) throw error
      if (performance.now() > until) throw lostCommit(name, unknown, error)
      await sleep(RETRY_MS)
    }
  }
}

const lostCommit = (name: string, unknown: boolean, cause: unknown): EmbeddingError =>
  new EmbeddingError(
    'STORE_UNAVAILABLE',
    unknown
      ? 'the connection was lost during a commit, and nobody answers whether it was done'
      : 'the change was not written: the server cannot be reached',
    {
      where: `collection ${name}`,
      hint: unknown
        ? 'look at the collection when the server is back before you repeat the change'
        : 'repeat the change when the server is back',
      cause,
    },
  )

async function create(db: Database, info: CollectionInfo, epoch: KeyEpoch): Promise<void> {
  checkCollection(info, epoch)
  const s = db.schema
  try {
    await db.write(async (connection) => {
      const [row] = await connection.query<{ number: number }>(
        {
          name: 'keyrite_create_collection',
          text: `INSERT INTO ${s}.collections (name, id, parameter_set, dimensions, metric, max_norm, fields)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING number`,
        },
        [
          info.name,
          info.id,
          info.parameterSet,
          info.dimensions,
          info.metric,
          info.maxNorm,
          info.fields,
        ],
      )
      await connection.query(
        {
          name: 'keyrite_create_epoch',
          text: `INSERT INTO ${s}.epochs (collection, epoch, check_value) VALUES ($1, $2, $3)`,
        },
        [row?.number, epoch.epoch, epoch.check],
      )
    })
  } catch (error) {
    // unique_violation
    if (error instanceof EmbeddingError && sqlState(error.cause) === '23505') {
      throw collectionExists(info.name)
    }
    throw error
  }
}

async function drop(db: Database, name: string): Promise<void> {
  checkName(name)
  await db.write(async (connection) => {
    const [row] = await connection.query<{ number: number }>(
      {
        name: 'keyrite_drop_lock',
        text: `SELECT number FROM ${db.schema}.collections WHERE name = $1 FOR UPDATE`,
      },
      [name],
    )
    if (row === undefined) throw collectionNotFound(name)
    for (const [table, column] of [
      ['records', 'collection'],
      ['blocks', 'collection'],
      ['collections', 'number'],
    ] as const) {
      await connection.query(
        {
          name: `keyrite_drop_${table}`,
          text: `DELETE FROM ${db.schema}.${table} WHERE ${column} = $1`,
        },
        [row.number],
      )
    }
  })
}

async function names(db: Database): Promise<readonly string[]> {
  const text = `SELECT name FROM ${db.schema}.collections`
  const rows = await db.read((connection) =>
    connection.query<{ name: string }>({ name: 'keyrite_names', text }),
  )
  return rows.map(({ name }) => name).sort()
}

/** The store on a database; closing it closes the database. */
export function postgresStore(
  db: Database,
  { readOnly = false, reconnectMs = RECONNECT_MS }: PostgresStoreOptions = {},
): EmbeddingStore {
  const turn = inTurn()
  const writing = async <T>(work: () => Promise<T>): Promise<T> => {
    if (!readOnly) return turn(work)
    throw new EmbeddingError('STORE_UNAVAILABLE', 'the store was opened for reading only')
  }
  return {
    createCollection: (info, epoch) => writing(() => create(db, info, epoch)),
    collections: () => names(db),
    collection: (name) => readState(db, name),
    dropCollection: (name) => writing(() => drop(db, name)),
    commit: (name, change) => writing(() => commitOnce(db, name, change, reconnectMs)),
    blocks: (name, partition) => readBlockInfos(db, name, partition),
    readBlocks: (name, blocks) => readBlockBytes(db, name, blocks),
    live: (name, filter, partition) =>
      reading(db, name, (connection, row) => readLive(db, connection, row, filter, partition)),
    tail: (name) => reading(db, name, (connection, row) => readTail(db, connection, row)),
    records: (name, places) => readPlaces(db, name, places),
    find: (name, tokens) => readTokens(db, name, tokens),
    all: (name, options) => readAll(db, name, options),
    inBlock: (name, block) => readBlockRecords(db, name, block),
    verify: (name) => verifyCollection(db, name),
    [Symbol.asyncDispose]: () => db[Symbol.asyncDispose](),
  }
}

/**
 * Opens a store in a database.
 * @throws EmbeddingError STORE_UNAVAILABLE when the server cannot be reached or holds no store; STORE_INVALID
 * for a store of another version or a server that does not make commits durable; ConfigError.
 */
export async function openPostgresStore(
  url: string,
  options: PostgresStoreOptions = {},
): Promise<EmbeddingStore> {
  const { create: mayCreate = false, readOnly = false, partitions } = options
  const db = await connectPostgres(url, options)
  try {
    await prepareSchema(db, { create: mayCreate, readOnly, partitions })
  } catch (error) {
    await db[Symbol.asyncDispose]()
    throw error
  }
  return postgresStore(db, options)
}
