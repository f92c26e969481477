/**
 * A client of the SSH agent protocol (draft-miller-ssh-agent): lists keys and asks for signatures over a socket whose
 * path the caller gives. One request per connection.
 */
import { connect } from 'node:net'

import { concat, equal, toBase64 } from '../bytes.ts'
import { FormatError, KeyriteError, QuorumError } from '../errors.ts'

import { parseKeyBlob, parsePublicKey, type SshPublicKey } from './ssh-key.ts'
import { wireReader, wireString, wireUint32, type WireReader } from './ssh-wire.ts'
import { sshsigSignedData } from './sshsig.ts'
import { checkedArmor } from './token-signer.ts'
import type { SshSigner } from './types.ts'

/** draft-miller-ssh-agent §5.1 message numbers. */
const REQUEST_IDENTITIES = 11
const IDENTITIES_ANSWER = 12
const SIGN_REQUEST = 13
const SIGN_RESPONSE = 14
/** §5.3 flags: ask for rsa-sha2-512. */
const RSA_SHA2_512 = 4
const MAX_REPLY = 256 * 1024
/** Long enough for a person to find and touch a key. */
const DEFAULT_TIMEOUT_MS = 120_000

/** A key the agent offers. */
export interface AgentKey {
  readonly blob: Uint8Array
  readonly comment: string
  /** `undefined` for key types keyrite does not know. */
  readonly key: SshPublicKey | undefined
}

/** Where the agent is and how long to wait for it. */
export interface AgentOptions {
  readonly socketPath: string
  readonly timeoutMs?: number
}

function failed(message: string, where: string, hint: string, cause?: unknown): QuorumError {
  return new QuorumError('SIGNING_FAILED', message, { where, hint, cause })
}

/** Sends one message and gives back the one reply, without its length. */
function ask(options: AgentOptions, request: Uint8Array): Promise<Uint8Array> {
  const { socketPath, timeoutMs = DEFAULT_TIMEOUT_MS } = options
  const where = `ssh-agent at ${socketPath}`
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath)
    const stop = (message: string, hint: string, cause?: unknown): void => {
      socket.destroy()
      reject(failed(message, where, hint, cause))
    }
    let reply: Uint8Array = new Uint8Array()
    socket.setTimeout(timeoutMs, () => {
      stop('the agent did not answer in time', 'confirm or touch the key, then sign again')
    })
    socket.on('error', (cause) => {
      stop('the agent cannot be reached', 'start ssh-agent and add the key: ssh-add KEY', cause)
    })
    socket.on('close', () => {
      stop('the agent closed the connection', 'look at the agent; it may have refused the key')
    })
    socket.on('data', (chunk) => {
      reply = concat(reply, chunk)
      if (reply.length < 4) return
      const length = new DataView(reply.buffer).getUint32(0)
      if (length > MAX_REPLY) stop('the agent sent too much', 'check which program listens there')
      else if (reply.length >= 4 + length) {
        socket.destroy()
        resolve(reply.subarray(4, 4 + length))
      }
    })
    socket.write(concat(wireUint32(request.length), request))
  })
}

/** A reader after the expected message number; anything else counts as the agent's refusal. */
function open(reply: Uint8Array, expected: number, where: string): WireReader {
  const reader = wireReader(reply, where)
  if (reply.length === 0 || reader.uint8() !== expected) {
    throw failed('the agent refused', where, 'unlock the agent, or confirm the use of the key')
  }
  return reader
}

function parseKeys(reply: Uint8Array, where: string): AgentKey[] {
  const reader = open(reply, IDENTITIES_ANSWER, where)
  const count = reader.uint32()
  const keys: AgentKey[] = []
  // A false count ends at the first string that is not there.
  for (let at = 0; at < count; at += 1) {
    const blob = new Uint8Array(reader.string())
    const comment = reader.text()
    let key: SshPublicKey | undefined
    try {
      key = parseKeyBlob(blob)
    } catch {
      key = undefined
    }
    keys.push({ blob, comment, key })
  }
  reader.end()
  return keys
}

const notTheProtocol = (where: string, cause: unknown): unknown =>
  cause instanceof FormatError
    ? failed('the agent does not speak the agent protocol', where, 'check the socket path', cause)
    : cause

/** The keys the agent holds. Throws QuorumError SIGNING_FAILED. */
export async function agentKeys(options: AgentOptions): Promise<AgentKey[]> {
  const where = `ssh-agent at ${options.socketPath}`
  try {
    return parseKeys(await ask(options, Uint8Array.of(REQUEST_IDENTITIES)), where)
  } catch (error) {
    throw notTheProtocol(where, error)
  }
}

/**
 * Signs with the agent's key that equals `publicKey` (a line of a `.pub` file). `sign` throws QuorumError
 * SIGNING_FAILED: agent away, key not loaded, refused, or a signature that does not verify.
 */
export function agentSigner(
  options: AgentOptions & { readonly principal: string; readonly publicKey: string },
): SshSigner {
  const { principal } = options
  const key = parsePublicKey(options.publicKey)
  const where = `ssh-agent at ${options.socketPath}`
  return {
    principal,
    async sign(namespace, message) {
      const offered = await agentKeys(options)
      if (!offered.some(({ blob }) => equal(blob, key.blob))) {
        throw failed(
          `the agent does not hold the key of ${principal} (${key.fingerprint})`,
          where,
          'add it: ssh-add KEY, or for a PKCS#11 token: ssh-add -s MODULE',
        )
      }
      const data = sshsigSignedData(namespace, 'sha512', message)
      const flags = wireUint32(key.type === 'ssh-rsa' ? RSA_SHA2_512 : 0)
      const fields = [wireString(key.blob), wireString(data), flags]
      const request = concat(Uint8Array.of(SIGN_REQUEST), ...fields)
      try {
        const reader = open(await ask(options, request), SIGN_RESPONSE, where)
        const signature = new Uint8Array(reader.string())
        reader.end()
        return checkedArmor({ key, namespace, hash: 'sha512', signature }, message, principal)
      } catch (error) {
        if (error instanceof KeyriteError) throw notTheProtocol(where, error)
        throw failed('the agent failed', where, `key ${toBase64(key.blob).slice(-12)}`, error)
      }
    },
  }
}
