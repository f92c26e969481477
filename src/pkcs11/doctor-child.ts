/**
 * The child process of the doctor. Whatever a module does to its process, it does it here.
 * Not imported by anything: `doctor.ts` runs this file.
 */
import { readSync, writeSync } from 'node:fs'

import { utf8, wipe } from '../bytes.ts'
import { KeyriteError, Pkcs11Error, TokenError } from '../errors.ts'
import { examine } from './doctor-examination.ts'
import { ANSWER_FD, decodeRequest } from './doctor-protocol.ts'
import type { DoctorAnswer, ErrorAnswer } from './doctor-protocol.ts'
import { traced } from './doctor-trace.ts'
import { forbidCoreFiles, openCryptoki } from './native.ts'

const REQUEST_MAX = 0x1_0000

/** Standard input into one buffer: growing buffers would leave copies of the PIN behind. */
function readRequest(): Uint8Array {
  const buffer = new Uint8Array(REQUEST_MAX)
  let length = 0
  while (length < buffer.length) {
    const read = readSync(0, buffer, length, buffer.length - length, null)
    if (read === 0) break
    length += read
  }
  return buffer.subarray(0, length)
}

/** Written at once: after a crash nothing can be flushed. */
function send(answer: DoctorAnswer): void {
  const line = utf8(`${JSON.stringify(answer)}\n`)
  for (let at = 0; at < line.length;) at += writeSync(ANSWER_FD, line, at)
}

function errorAnswer(error: unknown): ErrorAnswer {
  if (error instanceof KeyriteError) {
    const { code, message, where, expected, got, hint } = error as KeyriteError
    const text = { code, message, where, expected, got, hint }
    if (error instanceof Pkcs11Error) {
      return { kind: 'pkcs11', ...text, fn: error.fn, ckr: error.ckr }
    }
    return { kind: error instanceof TokenError ? 'token' : 'other', ...text }
  }
  return { kind: 'other', code: '-', message: error instanceof Error ? error.message : 'unknown' }
}

function main(): void {
  let during = 'loading'
  const announce = (at: string) => send({ at, during })
  announce('reading the request')
  // A crashing module must not leave the PIN in a core file.
  forbidCoreFiles()
  const bytes = readRequest()
  try {
    const { request, pin } = decodeRequest(bytes)
    announce('dlopen, C_GetFunctionList or C_Initialize')
    const { path, libraryParameters } = request
    const cryptoki = traced(
      openCryptoki({ path, ...(libraryParameters === undefined ? {} : { libraryParameters }) }),
      announce,
    )
    try {
      send({
        findings: examine(cryptoki, request, pin, (what) => {
          during = what
        }),
      })
      during = 'finalising'
    } finally {
      wipe(bytes)
      cryptoki.close()
    }
    send({ done: true })
  } catch (error) {
    send({ error: errorAnswer(error) })
  } finally {
    wipe(bytes)
  }
}

main()
