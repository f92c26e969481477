/**
 * Connections to one PostgreSQL: a pool whose errors are typed, transactions, COPY and LISTEN. The
 * libraries come as arguments; `postgres.ts` alone loads them.
 */
import { once } from 'node:events'

import type { ClientBase, Pool, PoolClient, PoolConfig } from 'pg'
import type { from as copyFrom, to as copyTo } from 'pg-copy-streams'

import { EmbeddingError } from '../errors.ts'
import type { Connection, Database, Statement } from './postgres-connection.ts'
import { type Field, decodeRows, encodeRows } from './postgres-copy.ts'
import { isConnectionLost, postgresError } from './postgres-error.ts'

/** The two optional peers. */
export interface PostgresLibraries {
  readonly Pool: new (config: PoolConfig) => Pool
  readonly textParser: (oid: number) => (value: string) => unknown
  /** Host and port that a configuration leads to, for errors; holds no password. */
  readonly addressOf: (config: PoolConfig) => string
  readonly copyFrom: typeof copyFrom
  readonly copyTo: typeof copyTo
}

/** For {@link createDatabase}. */
export interface DatabaseOptions {
  readonly schema: string
  readonly poolSize: number
}

const CONNECT_MS = 10_000
const KEEPALIVE_MS = 10_000
const INT8_OID = 20
/** Lower-case, so that it is the same quoted and unquoted; at most 63 bytes. */
const SCHEMA = /^[a-z_][a-z0-9_]{0,62}$/
const CHANNEL = /^[a-z_][a-z0-9_]{0,62}$/

/**
 * Guards of a writing transaction: a paused writer loses its lock after a minute; waiting for another
 * writer ends some time after that; what is acknowledged has been flushed whatever the role's default.
 * And rows that are named are found by their keys, also in a young table without statistics, of which
 * the planner would rather read all.
 */
const BEGIN_WRITE = `BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SET LOCAL idle_in_transaction_session_timeout = '60s';
SET LOCAL lock_timeout = '90s';
SELECT set_config('synchronous_commit', 'on', true)
WHERE current_setting('synchronous_commit') = 'off'`
const BEGIN_BRIEF = `BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL synchronous_commit = off;
SET LOCAL idle_in_transaction_session_timeout = '60s'`
const BEGIN_SNAPSHOT = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'

function parseInt8(value: string): number {
  const number = Number(value)
  if (Number.isSafeInteger(number)) return number
  throw new EmbeddingError('STORE_INVALID', 'a number is out of range', { got: value })
}

/** The quoted schema. @throws EmbeddingError STORE_INVALID. */
export function quotedSchema(schema: string): string {
  if (SCHEMA.test(schema) && !schema.startsWith('pg_')) return `"${schema}"`
  throw new EmbeddingError('STORE_INVALID', 'the name of the schema is not usable', {
    where: 'schema',
    expected: 'a-z, 0-9 and _, not pg_..., at most 63',
    got: schema,
  })
}

async function copyInto(
  libraries: PostgresLibraries,
  client: ClientBase,
  statement: string,
  rows: Iterable<readonly Field[]>,
): Promise<void> {
  const stream = client.query(libraries.copyFrom(statement))
  const { promise: failed, reject } = Promise.withResolvers<never>()
  failed.catch(() => {})
  // Stays: a lost connection can be reported more than once.
  stream.on('error', reject)
  for (const piece of encodeRows(rows)) {
    if (!stream.write(piece)) await Promise.race([once(stream, 'drain'), failed])
  }
  stream.end()
  await Promise.race([once(stream, 'finish'), failed])
}

function connectionOf(
  libraries: PostgresLibraries,
  client: ClientBase,
  onBroken: () => void,
): Connection {
  const attempt = async <T>(action: () => Promise<T>): Promise<T> => {
    try {
      return await action()
    } catch (cause) {
      const error = postgresError(cause)
      if (isConnectionLost(error)) onBroken()
      throw error
    }
  }
  return {
    query: <Row>({ name, text }: Statement, values: readonly unknown[] = []) =>
      attempt(async () => {
        const result = await client.query({ name, text, values: [...values] })
        return result.rows as readonly Row[]
      }),
    run: (text) =>
      attempt(async () => {
        await client.query(text)
      }),
    copyIn: (statement, rows) => attempt(() => copyInto(libraries, client, statement, rows)),
    async *copyOut(statement) {
      const stream = client.query(libraries.copyTo(statement))
      stream.on('error', () => {})
      let ended = false
      try {
        yield* decodeRows(stream)
        ended = true
      } catch (cause) {
        throw postgresError(cause)
      } finally {
        // The rest of the rows is still on its way.
        if (!ended) onBroken()
      }
    },
  }
}

const allInUse = (count: number, cause: unknown): EmbeddingError =>
  new EmbeddingError('STORE_UNAVAILABLE', 'all connections to PostgreSQL are in use', {
    expected: `a free one within ${CONNECT_MS / 1000} s`,
    got: `${count} in use`,
    hint: 'give a larger poolSize, or ask for less at the same time',
    cause,
  })

/** Opens no connection yet. @throws EmbeddingError STORE_INVALID for a schema. */
export function createDatabase(
  libraries: PostgresLibraries,
  connection: PoolConfig,
  options: DatabaseOptions,
): Database {
  const schema = quotedSchema(options.schema)
  const pool = new libraries.Pool({
    ...connection,
    max: options.poolSize,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_MS,
    fallback_application_name: 'keyrite',
    types: {
      getTypeParser: ((oid: number) =>
        oid === INT8_OID ? parseInt8 : libraries.textParser(oid)) as never,
    },
  })
  // An idle connection that ends leaves the pool by itself; without a listener the process would end.
  pool.on('error', () => {})
  let inUse = 0
  pool.on('acquire', () => inUse++)
  pool.on('release', () => inUse--)
  let closing: Promise<void> | undefined
  /** Errors of making a connection: another try would meet them too. */
  const unreachable = new WeakSet<Error>()

  async function connect(): Promise<PoolClient> {
    if (closing !== undefined) throw new EmbeddingError('CLOSED', 'the store is closed')
    try {
      return await pool.connect()
    } catch (cause) {
      if (inUse >= options.poolSize) throw allInUse(inUse, cause)
      const error = postgresError(cause, libraries.addressOf(connection))
      unreachable.add(error)
      throw error
    }
  }

  async function use<T>(action: (connection: Connection) => Promise<T>): Promise<T> {
    const client = await connect()
    const state = { broken: false }
    const onBroken = () => {
      state.broken = true
    }
    client.on('error', onBroken)
    try {
      return await action(connectionOf(libraries, client, onBroken))
    } catch (cause) {
      throw postgresError(cause)
    } finally {
      client.release(state.broken)
      // A broken connection may go on reporting errors; nobody else would listen.
      if (!state.broken) client.off('error', onBroken)
    }
  }

  /** A restart of the server can have ended every pooled connection, unnoticed so far. */
  async function again<T>(attempt: () => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries++) {
      try {
        return await attempt()
      } catch (error) {
        const isOver =
          !isConnectionLost(error) || unreachable.has(error) || tries > options.poolSize
        if (isOver) throw error
      }
    }
  }

  const transaction = <T>(
    begin: string,
    action: (connection: Connection) => Promise<T>,
    committing?: () => void,
  ): Promise<T> =>
    use(async (connection) => {
      await connection.run(begin)
      let result
      try {
        result = await action(connection)
      } catch (error) {
        if (!isConnectionLost(error)) await connection.run('ROLLBACK')
        throw error
      }
      committing?.()
      await connection.run('COMMIT')
      return result
    })

  return {
    schema,
    use,
    read: (action) => again(() => use(action)),
    write: (action, committing) => transaction(BEGIN_WRITE, action, committing),
    brief: (action) => transaction(BEGIN_BRIEF, action),
    snapshot: (action) => again(() => transaction(BEGIN_SNAPSHOT, action)),
    async listen(channel, onNotify) {
      if (!CHANNEL.test(channel)) throw new EmbeddingError('STORE_INVALID', 'not a channel name')
      const client = await connect()
      const gone = new AbortController()
      const lose = () => {
        gone.abort()
      }
      client.on('error', lose)
      client.on('end', lose)
      client.on('notification', ({ payload }) => {
        onNotify(payload ?? '')
      })
      try {
        await client.query(`LISTEN "${channel}"`)
      } catch (cause) {
        client.release(true)
        throw postgresError(cause)
      }
      let released = false
      return {
        lost: gone.signal,
        async [Symbol.asyncDispose]() {
          if (released) return Promise.resolve()
          released = true
          // Ended, not given back: it would go on listening for whoever gets it next.
          client.release(true)
        },
      }
    },
    [Symbol.asyncDispose]: () => (closing ??= pool.end()),
  }
}
