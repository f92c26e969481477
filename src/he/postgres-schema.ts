/**
 * Tables of a store. Large values are kept out of line and uncompressed (STORAGE EXTERNAL): ciphertexts do
 * not compress. Blocks and records are hash-partitioned, so that no index or table file grows with the
 * whole collection and vacuum works in pieces.
 */
import { EmbeddingError } from '../errors.ts'
import type { Connection, Database, Statement } from './postgres-connection.ts'
import { queueTables } from './scan-queue-schema.ts'

/** Of the tables below; a store of another version is refused. */
const SCHEMA_VERSION = 2
/** Hash partitions of blocks and of records. */
const MAX_PARTITIONS = 256

const hashPartitions = (table: string, count: number): string =>
  Array.from(
    { length: count },
    (_, index) =>
      `CREATE TABLE ${table}_${index} PARTITION OF ${table}
         FOR VALUES WITH (MODULUS ${count}, REMAINDER ${index});`,
  ).join('\n')

/** @param s - quoted schema. */
const tables = (s: string, partitions: number): string => `
CREATE TABLE ${s}.collections (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  id text NOT NULL,
  parameter_set text NOT NULL,
  dimensions bigint NOT NULL,
  metric text NOT NULL,
  max_norm double precision NOT NULL,
  fields text[] NOT NULL,
  sequence bigint NOT NULL DEFAULT 1,
  tail_sequence bigint NOT NULL DEFAULT 1,
  last_version bigint NOT NULL DEFAULT 0,
  last_block bigint NOT NULL DEFAULT 0,
  records bigint NOT NULL DEFAULT 0,
  tail bigint NOT NULL DEFAULT 0,
  blocks bigint NOT NULL DEFAULT 0
);
CREATE TABLE ${s}.epochs (
  collection bigint NOT NULL REFERENCES ${s}.collections ON DELETE CASCADE,
  epoch bigint NOT NULL,
  check_value text NOT NULL,
  PRIMARY KEY (collection, epoch)
);
CREATE TABLE ${s}.sessions (
  collection bigint NOT NULL REFERENCES ${s}.collections ON DELETE CASCADE,
  id text NOT NULL,
  epoch bigint NOT NULL,
  sealed_key bytea NOT NULL,
  PRIMARY KEY (collection, id)
);
-- Which changes were committed, for a writer that lost its connection before it heard so.
CREATE TABLE ${s}.changes (
  collection bigint NOT NULL REFERENCES ${s}.collections ON DELETE CASCADE,
  sequence bigint NOT NULL,
  change text NOT NULL UNIQUE,
  blocks bigint[] NOT NULL,
  deleted bigint NOT NULL,
  skipped bigint NOT NULL,
  PRIMARY KEY (collection, sequence)
);
CREATE TABLE ${s}.blocks (
  collection bigint NOT NULL,
  block bigint NOT NULL,
  uid text NOT NULL,
  epoch bigint NOT NULL,
  session text NOT NULL,
  mac bytea NOT NULL,
  slots integer NOT NULL,
  live integer NOT NULL,
  occupied bytea NOT NULL,
  length integer NOT NULL,
  checksum bytea NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (collection, block)
) PARTITION BY HASH (block);
ALTER TABLE ${s}.blocks ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE INDEX blocks_uid ON ${s}.blocks (collection, uid);
${hashPartitions(`${s}.blocks`, partitions)}
CREATE TABLE ${s}.records (
  collection bigint NOT NULL,
  token bytea NOT NULL,
  version bigint NOT NULL,
  epoch bigint NOT NULL,
  session text NOT NULL,
  block bigint,
  slot integer,
  filters bytea[] NOT NULL,
  checksum bytea NOT NULL,
  sealed bytea NOT NULL,
  PRIMARY KEY (collection, token)
) PARTITION BY HASH (token);
ALTER TABLE ${s}.records ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE INDEX records_version ON ${s}.records (collection, version);
CREATE INDEX records_place ON ${s}.records (collection, block, slot);
CREATE INDEX records_filters ON ${s}.records USING gin (filters);
${hashPartitions(`${s}.records`, partitions)}
${queueTables(s)}
CREATE TABLE ${s}.store (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version integer NOT NULL,
  partitions integer NOT NULL
);
INSERT INTO ${s}.store (version, partitions) VALUES (${SCHEMA_VERSION}, ${partitions});
`

/** Asks the catalogue itself: to_regclass answers from a cache that a waiting transaction has not renewed. */
const EXISTS: Statement = {
  name: 'keyrite_store_exists',
  text: `SELECT EXISTS (SELECT FROM pg_catalog.pg_tables
           WHERE '"' || schemaname || '"' = $1 AND tablename = 'store') AS exists`,
}

async function storedVersion(connection: Connection, s: string): Promise<number | undefined> {
  const [found] = await connection.query<{ exists: boolean }>(EXISTS, [s])
  if (found?.exists !== true) return undefined
  const [row] = await connection.query<{ version: number }>({
    name: 'keyrite_store_version',
    text: `SELECT version FROM ${s}.store`,
  })
  return row?.version
}

function checkVersion(version: number, s: string): void {
  if (version === SCHEMA_VERSION) return
  throw new EmbeddingError('STORE_INVALID', 'the store is of another version', {
    where: `schema ${s}`,
    expected: String(SCHEMA_VERSION),
    got: String(version),
    hint: version > SCHEMA_VERSION ? 'use a newer keyrite' : 'export with the older keyrite',
  })
}

/** Settings of the server without which a commit is no promise. */
async function checkDurable(connection: Connection): Promise<void> {
  const [row] = await connection.query<{ fsync: string; full_page_writes: string }>({
    name: 'keyrite_durable',
    text: `SELECT current_setting('fsync') AS fsync,
                  current_setting('full_page_writes') AS full_page_writes`,
  })
  const off = Object.entries(row ?? {}).filter(([, value]) => value === 'off')
  if (off.length === 0) return
  throw new EmbeddingError('STORE_INVALID', 'the server does not make commits durable', {
    where: off.map(([name]) => name).join(', '),
    expected: 'on',
    got: 'off',
    hint: 'turn it on, or open the store with readOnly',
  })
}

/** For {@link prepareSchema}. */
export interface SchemaOptions {
  readonly create: boolean
  readonly readOnly: boolean
  /** Of a new store; default 16. */
  readonly partitions?: number | undefined
}

/**
 * Checks the tables; makes them in one transaction when they are missing and `create` is set.
 * @throws EmbeddingError STORE_UNAVAILABLE when they are missing; STORE_INVALID for another version.
 */
export async function prepareSchema(db: Database, options: SchemaOptions): Promise<void> {
  const { create, readOnly, partitions = 16 } = options
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > MAX_PARTITIONS) {
    throw new EmbeddingError('STORE_INVALID', 'not a number of partitions', {
      where: 'partitions',
      expected: `1 to ${MAX_PARTITIONS}`,
      got: String(partitions),
    })
  }
  const s = db.schema
  const version = await db.read(async (connection) => {
    if (!readOnly) await checkDurable(connection)
    return storedVersion(connection, s)
  })
  if (version !== undefined) {
    checkVersion(version, s)
    return
  }
  if (!create || readOnly) {
    throw new EmbeddingError('STORE_UNAVAILABLE', 'there is no store in the database', {
      where: `schema ${s}`,
      hint: 'keyrite embeddings create makes one, and so does opening with `create`',
    })
  }
  await db.write(async (connection) => {
    // Two processes may create at once; the second finds what the first made.
    await connection.query(
      { name: 'keyrite_create', text: 'SELECT pg_advisory_xact_lock(hashtext($1))' },
      [`keyrite ${s}`],
    )
    const made = await storedVersion(connection, s)
    if (made === undefined) {
      await connection.run(`CREATE SCHEMA IF NOT EXISTS ${s};\n${tables(s, partitions)}`)
    } else checkVersion(made, s)
  })
}
