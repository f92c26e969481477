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

function connectionLost(got: string, cause: unknown): EmbeddingError {
  const error = new EmbeddingError('STORE_UNAVAILABLE', 'the connection to PostgreSQL is lost', {
    got,
    hint: 'check that the server runs and can be reached, then try again',
    cause,
  })
  lost.add(error)
  return error
}

const unavailable = (message: string, got: string, hint: string, cause: unknown): EmbeddingError =>
  new EmbeddingError('STORE_UNAVAILABLE', message, { got, hint, cause })

function ofState(state: string, message: string, cause: unknown): KeyriteError {
  const got = `${state}: ${message}`
  if (LOST_STATES.test(state)) return connectionLost(got, cause)
  if (state.startsWith('28') || state === '3D000') {
    const hint = 'check user, password (PGPASSFILE or the URL) and database'
    return unavailable('PostgreSQL refuses the connection', got, hint, cause)
  }
  if (state === '42501') {
    const hint = 'grant the role what it needs on the schema, or use another role'
    return unavailable('the role may not do this', got, hint, cause)
  }
  if (state === '57014') {
    const hint =
      'statement_timeout of the role or database is too short for it, or somebody cancelled it'
    return unavailable('the server cancelled a statement', got, hint, cause)
  }
  if (POOLED_STATES.has(state)) {
    const hint =
      'connect directly, or let the pooler keep a connection per session (pool_mode = session)'
    return unavailable('a pooler exchanges connections', got, hint, cause)
  }
  if (state === '55P03') {
    const hint = 'another writer holds the collection; try again when it is done'
    return unavailable('the collection is locked', got, hint, cause)
  }
  if (state.startsWith('53') || state.startsWith('58')) {
    const hint = 'free space or repair the disk of the server; what was acknowledged is safe'
    return new StorageError('STORAGE', 'PostgreSQL cannot store', { got, hint, cause })
  }
  if (state.startsWith('XX')) {
    const hint = 'look at the log of the server; restore from a backup if pages are damaged'
    return new EmbeddingError('STORE_INVALID', 'PostgreSQL reports damage', { got, hint, cause })
  }
  return new EmbeddingError('STORE_INVALID', 'PostgreSQL refuses the statement', {
    got,
    hint: 'the tables may not be those keyrite made',
    cause,
  })
}

/** The error to throw for whatever a call of pg threw. */
export function postgresError(cause: unknown): KeyriteError {
  if (cause instanceof KeyriteError) return cause as KeyriteError
  const message = cause instanceof Error ? cause.message : 'unknown'
  const state = sqlState(cause)
  if (state !== undefined) return ofState(state, message, cause)
  const errno = errnoOf(cause)
  if (errno !== undefined && LOST_ERRNOS.has(errno)) return connectionLost(errno, cause)
  if (LOST_MESSAGE.test(message)) return connectionLost(message, cause)
  const hint = 'check the URL: host, port, sslmode and the certificates'
  return unavailable('PostgreSQL cannot be used', errno ?? message, hint, cause)
}
