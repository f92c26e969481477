/**
 * A PostgreSQL as the stores and the queue use it. Apart from `postgres-database.ts`: these types are in the
 * declarations of the package, which callers compile without the optional peers.
 */
import type { Field } from './postgres-copy.ts'

/** A query with placeholders; prepared once per connection under its name. */
export interface Statement {
  readonly name: string
  readonly text: string
}

/** One connection, for as long as an action runs. */
export interface Connection {
  query<Row>(statement: Statement, values?: readonly unknown[]): Promise<readonly Row[]>
  /** Several statements without placeholders. */
  run(text: string): Promise<void>
  /** @param statement - `COPY ... FROM STDIN (FORMAT binary)`. */
  copyIn(statement: string, rows: Iterable<readonly Field[]>): Promise<void>
  /** @param statement - `COPY (...) TO STDOUT (FORMAT binary)`. */
  copyOut(statement: string): AsyncGenerator<Field[]>
}

/** Ends a LISTEN. */
export interface Listener extends AsyncDisposable {
  /** Fires when the connection is lost; listen again then. */
  readonly lost: AbortSignal
}

/** A pool of connections. Every error is a KeyriteError; a lost connection is STORE_UNAVAILABLE. */
export interface Database extends AsyncDisposable {
  /** Quoted name of the schema. */
  readonly schema: string
  /** On a connection of its own; streams of the connection end with the action. */
  use<T>(action: (connection: Connection) => Promise<T>): Promise<T>
  /** As `use`, and again when a pooled connection turns out to be lost. For what may be done twice. */
  read<T>(action: (connection: Connection) => Promise<T>): Promise<T>
  /** Commits when the action is done; `committing` is called just before. */
  write<T>(action: (connection: Connection) => Promise<T>, committing?: () => void): Promise<T>
  /** As `write`, for what may be lost in a crash of the server: it is not flushed to disk. */
  brief<T>(action: (connection: Connection) => Promise<T>): Promise<T>
  /** As `read`, and one state of the database, however many statements look at it. */
  snapshot<T>(action: (connection: Connection) => Promise<T>): Promise<T>
  /** A connection stays open for it. Channel names are ours, never a caller's. */
  listen(channel: string, onNotify: (payload: string) => void): Promise<Listener>
}
