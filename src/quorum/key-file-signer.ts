/**
 * Signs with a key file by running the real `ssh-keygen -Y sign`: passphrase, FIDO2 PIN and touch stay between the
 * person, the terminal and ssh-keygen. The message goes through a file and not through standard input, because
 * ssh-keygen takes its passphrase from standard input where it finds no terminal (OpenSSH 9.2, measured), and asks a
 * graphical program instead of the terminal when standard input is not one.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { QuorumError } from '../errors.ts'

import { decodeSshsig } from './sshsig.ts'
import { checkedArmor } from './token-signer.ts'
import type { SshSigner } from './types.ts'

/** Which key file, and how to run ssh-keygen. */
export interface KeyFileOptions {
  readonly principal: string
  /** Private key file, FIDO2 `sk-` stub, or public key file of a key in the agent. */
  readonly keyFile: string
  /** Program to run; default `ssh-keygen` on the path. */
  readonly sshKeygen?: string
  /** Directory for the public message and its signature; default the system's. */
  readonly scratch?: string
}

function failed(options: KeyFileOptions, got: string, cause?: unknown): QuorumError {
  return new QuorumError('SIGNING_FAILED', `${options.principal} could not sign`, {
    where: `ssh-keygen -Y sign -f ${options.keyFile}`,
    expected: 'a signature',
    got,
    hint: 'look at what ssh-keygen said on the terminal: wrong passphrase, no key, no touch',
    cause,
  })
}

function run(options: KeyFileOptions, namespace: string, file: string): Promise<void> {
  const args = ['-q', '-Y', 'sign', '-f', options.keyFile, '-n', namespace, file]
  return new Promise((resolve, reject) => {
    const child = spawn(options.sshKeygen ?? 'ssh-keygen', args, { stdio: 'inherit' })
    child.on('error', (cause) => {
      reject(failed(options, 'a program that does not start', cause))
    })
    child.on('exit', (code, signal) => {
      if (code === 0) resolve()
      else reject(failed(options, code === null ? `signal ${signal ?? ''}` : `exit status ${code}`))
    })
  })
}

/**
 * A signer for a key file. `sign` throws QuorumError SIGNING_FAILED, and FormatError for key types that keyrite does not
 * verify, e.g. certificates.
 */
export const keyFileSigner = (options: KeyFileOptions): SshSigner => ({
  principal: options.principal,
  async sign(namespace, message) {
    const directory = await mkdtemp(join(options.scratch ?? tmpdir(), 'keyrite-sign-'))
    try {
      const file = join(directory, 'message')
      await writeFile(file, message, { mode: 0o600 })
      await run(options, namespace, file)
      const armored = await readFile(`${file}.sig`, 'utf8').catch((cause: unknown) => {
        throw failed(options, 'no signature file', cause)
      })
      const sig = decodeSshsig(armored)
      return checkedArmor({ ...sig, namespace }, message, options.principal)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  },
})
