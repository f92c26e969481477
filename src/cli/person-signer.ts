/**
 * The signing key of a person in the room, as the binding names it: a key file or an agent's key through
 * ssh-keygen, a key on their own token, or a signature made elsewhere and brought back as a file.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

import { sha256, toHex, wipe } from '../bytes.ts'
import type { BoundSigner, Person } from '../ceremony/index.ts'
import { ConfigError } from '../errors.ts'
import type { Hsm } from '../pkcs11/index.ts'
import type { SshSigner } from '../quorum/index.ts'
import { pkcs11Library, quorumLibrary } from './libraries.ts'
import { type Questions, askSecret, threeTimes } from './questions.ts'
import { readText } from './read-input.ts'

/** Largest signature file that is read; an SSHSIG of a FIDO2 key is about 1 KiB. */
const MAX_SIGNATURE_BYTES = 16_384

/** What a signer may need while it signs. */
export interface SigningDesk {
  readonly questions: Questions
  /** The ceremony's module, which may hold people's own tokens too. */
  readonly hsm: Hsm | undefined
  /** Where files to be signed elsewhere are put. */
  readonly detachedDir: string
  /** SSH_AUTH_SOCK. */
  readonly agentSocket: string | undefined
}

/** Signs with a key on the person's own token; logs in for this one signature. */
function tokenKeySigner(who: Person, uri: string, { questions, hsm }: SigningDesk): SshSigner {
  return {
    principal: who.principal,
    async sign(namespace, message) {
      const { loadModule, parseUri } = await pkcs11Library()
      const { tokenSigner } = await quorumLibrary()
      const path = parseUri(uri).modulePath
      const own = path === undefined || path === hsm?.info.path ? undefined : await loadModule(path)
      await using borrowed = own
      const module = borrowed ?? hsm
      if (module === undefined) {
        throw new ConfigError('the key’s URI names no module', {
          where: uri,
          expected: '?module-path=... in the URI',
        })
      }
      const pin = await askSecret(questions, { who: who.id, prompt: `PIN of ${who.id}’s token` })
      try {
        await using token = await module.login(uri, { pin })
        const key = await token.key(uri)
        return await tokenSigner(who.principal, await key.signer()).sign(namespace, message)
      } finally {
        wipe(pin)
      }
    },
  }
}

/** From here, when that is shorter: a command that fits on a line can be read aloud and copied. */
export function shortPath(path: string): string {
  const fromHere = relative(process.cwd(), path)
  return fromHere !== '' && fromHere.length < path.length ? fromHere : path
}

async function readSignature(path: string): Promise<string | undefined> {
  const bytes = await readFile(path).catch(() => undefined)
  return bytes === undefined || bytes.length > MAX_SIGNATURE_BYTES
    ? undefined
    : bytes.toString('utf8')
}

/** Writes the message to a file, says how to sign it, and waits for the signature's path. */
async function signedElsewhere(
  who: Person,
  { questions, detachedDir }: SigningDesk,
): Promise<SshSigner> {
  const { detachedSigner } = await quorumLibrary()
  const { screen, keyboard } = questions
  let path = ''
  return detachedSigner({
    principal: who.principal,
    async offer(namespace, message) {
      const digest = toHex(sha256(message))
      path = join(detachedDir, `${who.id}.${digest.slice(0, 8)}.txt`)
      await writeFile(path, message, { mode: 0o600 })
      screen.print(`   To be signed by ${who.id}, here or on another machine:`, { hang: 5 })
      screen.verbatim(`   ssh-keygen -Y sign -f KEY -n ${namespace} ${shortPath(path)}`)
      screen.print(`   SHA-256 of the file: ${digest.slice(0, 32)}`)
      screen.print(`                        ${digest.slice(32)}`)
    },
    receive: (namespace) =>
      threeTimes(
        questions,
        who.id,
        `the output of ssh-keygen -Y sign -n ${namespace} over ${path}`,
        async () => {
          screen.ask(`   ${who.id}, path of the signature (empty: the same with .sig):`)
          const typed = (await keyboard.line()).trim()
          const signature = await readSignature(typed === '' ? `${path}.sig` : typed)
          return signature === undefined
            ? { fault: 'there is no signature file' }
            : { value: signature }
        },
      ),
  })
}

/** The signer for one of the binding's forms. */
export async function signerFor(
  who: Person,
  bound: BoundSigner,
  desk: SigningDesk,
): Promise<SshSigner> {
  if ('detached' in bound) return signedElsewhere(who, desk)
  if ('pkcs11' in bound) return tokenKeySigner(who, bound.pkcs11, desk)
  const { agentSigner, keyFileSigner } = await quorumLibrary()
  const { principal } = who
  if ('file' in bound) {
    const signer = keyFileSigner({ principal, keyFile: bound.file })
    return {
      principal,
      sign(namespace, message) {
        // What follows on the screen is ssh-keygen's own: passphrase, FIDO2 PIN, touch.
        desk.questions.screen.print(`   ${who.id} signs; ssh-keygen may ask:`, { style: 'dim' })
        return signer.sign(namespace, message)
      },
    }
  }
  if (desk.agentSocket === undefined || desk.agentSocket === '') {
    throw new ConfigError('there is no ssh-agent', {
      where: `signing key of ${who.id}`,
      expected: 'SSH_AUTH_SOCK',
      got: 'not set',
      hint: 'start ssh-agent and load the key with ssh-add',
    })
  }
  return agentSigner({
    principal,
    publicKey: (await readText(bound.agent, `the public key of ${who.id}`)).trim(),
    socketPath: desk.agentSocket,
  })
}
