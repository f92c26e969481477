/**
 * What PostgreSQL and the way to it can answer, as errors of keyrite. Nothing of a connection string
 * comes into an error: it can hold a password.
 */
import { errnoOf } from '../errno.ts'
import { EmbeddingError, KeyriteError, StorageError } from '../errors.ts'

/** SQLSTATE (PostgreSQL manual, appendix A) of an error of the server. */
export function sqlState(error: unknown): string | undefined {
  const code = errnoOf(error)
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]{4}$/.test(code)
    ? code
    : undefined
}

/** States in which the server ended the connection or never opened it: another connection may work. */
const LOST_STATES = /^(?:08|57P0[1-5]|25P0[34]|25006|53300|40001|40P01)/
/** A prepared statement that is missing, or there already: another connection than it was made on. */
const POOLED_STATES = new Set(['26000', '42P05'])
/** Faults of the way to the server. */
const LOST_ERRNOS = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ENOENT',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
])
/** What pg says without a code when the socket ends. */
const LOST_MESSAGE =
  /^(?:Connection terminated|timeout exceeded|timeout expired|Client has encountered)/

const lost = new WeakSet<EmbeddingError>()

/** Whether the work may succeed on another connection, or after a while. */
export const isConnectionLost = (error: unknown): error is EmbeddingError =>
  error instanceof EmbeddingError && lost.has(error)

/** Where a fault was found: the address of a server that gave no connection. Inside of one it is undefined. */
type Server = string | undefined

interface Fault {
  readonly where: Server
  readonly got: string
  readonly cause: unknown
}

function connectionLost(fault: Fault): EmbeddingError {
  const message =
    fault.where === undefined
      ? 'the connection to PostgreSQL is lost'
      : 'PostgreSQL cannot be reached'
  const error = new EmbeddingError('STORE_UNAVAILABLE', message, {
    ...fault,
    hint: 'check that the server runs and can be reached, then try again',
  })
  lost.add(error)
  return error
}

const unavailable = (message: string, fault: Fault, hint: string): EmbeddingError =>
  new EmbeddingError('STORE_UNAVAILABLE', message, { ...fault, hint })

function ofState(state: string, fault: Fault): KeyriteError {
  if (LOST_STATES.test(state)) return connectionLost(fault)
  if (state.startsWith('28') || state === '3D000') {
    const hint = 'check user, password (PGPASSFILE or the URL) and database'
    return unavailable('PostgreSQL refuses the connection', fault, hint)
  }
  if (state === '42501') {
    const hint = 'grant the role what it needs on the schema, or use another role'
    return unavailable('the role may not do this', fault, hint)
  }
  if (state === '57014') {
    const hint =
      'statement_timeout of the role or database is too short for it, or somebody cancelled it'
    return unavailable('the server cancelled a statement', fault, hint)
  }
  if (POOLED_STATES.has(state)) {
    const hint =
      'connect directly, or let the pooler keep a connection per session (pool_mode = session)'
    return unavailable('a pooler exchanges connections', fault, hint)
  }
  if (state === '55P03') {
    const hint = 'another writer holds the collection; try again when it is done'
    return unavailable('the collection is locked', fault, hint)
  }
  if (state.startsWith('53') || state.startsWith('58')) {
    const hint = 'free space or repair the disk of the server; what was acknowledged is safe'
    return new StorageError('STORAGE', 'PostgreSQL cannot store', { ...fault, hint })
  }
  if (state.startsWith('XX')) {
    const hint = 'look at the log of the server; restore from a backup if pages are damaged'
    return new EmbeddingError('STORE_INVALID', 'PostgreSQL reports damage', { ...fault, hint })
  }
  return new EmbeddingError('STORE_INVALID', 'PostgreSQL refuses the statement', {
    ...fault,
    hint: 'the tables may not be those keyrite made',
  })
}

/** What pg says when the server asks for a password and none is known. */
const NO_PASSWORD = /client password must be a string/i

/** What the ways to no connection mean. */
const MEANING: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ENOENT: 'there is no such socket',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  ETIMEDOUT: 'no answer',
}

/** Certificates and keys that a URL names are read when the first connection is made. */
function unreadFile(cause: unknown, errno: string): string | undefined {
  const { syscall, path } = cause as NodeJS.ErrnoException
  // Sockets are read, too, but are no directories.
  const ofFile = syscall === 'open' || errno === 'EISDIR'
  return ofFile ? (path ?? 'sslrootcert, sslcert or sslkey') : undefined
}

/**
 * The error to throw for whatever a call of pg threw.
 * @param server - host and port, when no connection was made
 */
export function postgresError(cause: unknown, server?: string): KeyriteError {
  if (cause instanceof KeyriteError) return cause as KeyriteError
  const message = cause instanceof Error ? cause.message : 'unknown'
  const fault = { where: server, got: message, cause }
  const state = sqlState(cause)
  if (state !== undefined) return ofState(state, { ...fault, got: `${state}: ${message}` })
  const errno = errnoOf(cause)
  const file = errno === undefined ? undefined : unreadFile(cause, errno)
  if (errno !== undefined && file !== undefined) {
    const hint = 'check sslrootcert, sslcert and sslkey of the URL'
    const found = { where: file, got: errno, cause }
    return unavailable('a file for the connection to PostgreSQL cannot be read', found, hint)
  }
  if (errno !== undefined && LOST_ERRNOS.has(errno)) {
    const meaning = server === undefined ? undefined : MEANING[errno]
    const got = meaning === undefined ? errno : `${errno}: ${meaning}`
    return connectionLost({ ...fault, got })
  }
  if (LOST_MESSAGE.test(message)) return connectionLost(fault)
  if (NO_PASSWORD.test(message)) {
    const hint = 'put it into ~/.pgpass or the file that PGPASSFILE names, with mode 0600'
    return unavailable('PostgreSQL asks for a password', { ...fault, got: 'none' }, hint)
  }
  const hint = 'check the URL: host, port, sslmode and the certificates'
  return unavailable('PostgreSQL cannot be used', { ...fault, got: errno ?? message }, hint)
}
