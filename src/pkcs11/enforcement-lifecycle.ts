/** Attacks on MODIFIABLE, COPYABLE and DESTROYABLE, and on keys that are gone (PKCS#11 v3.2 §4.4). */
import type { ObjectHandle, SessionHandle } from './cryptoki.ts'
import type { Attack } from './enforcement-attack.ts'
import { BLOCK, SCRATCH_LABEL, only } from './enforcement-bench.ts'
import type { Bench, BooleanAttribute } from './enforcement-bench.ts'
import { allowed, inapplicable, inert } from './enforcement-row.ts'
import type { Outcome } from './enforcement-row.ts'

const ROW = { expected: 'CKR_ACTION_PROHIBITED', severity: 'warning', needs: 'nothing' } as const

/** Sets an attribute that was born false to true. */
function restore(bench: Bench, name: BooleanAttribute): Outcome {
  const key = bench.aes(['ENCRYPT'], only(name, false))
  return bench.attack((session) => {
    bench.cryptoki.setAttributes(session, key, only(name, true))
    switch (bench.flag(key, name)) {
      case true:
        return allowed()
      case false:
        return inert('CKR_OK, without effect')
      case undefined:
        return inapplicable('CKR_OK, but the token does not report the attribute')
    }
  })
}

const encryptWith = (bench: Bench, key: ObjectHandle): Outcome =>
  bench.attempt((session) => bench.cryptoki.encrypt(session, bench.cipher(), key, BLOCK))

/** See the head of this file. */
export const LIFECYCLE_ATTACKS: readonly Attack[] = [
  {
    ...ROW,
    id: 'modify-unmodifiable',
    attribute: 'MODIFIABLE',
    attack: 'change LABEL of a key with MODIFIABLE=false',
    severity: 'critical',
    holds: 'attributes of an unmodifiable key are final',
    broken: 'MODIFIABLE=false is ignored: attributes can be changed by whoever can log in',
    run: (bench) => {
      const relabel = (key: ObjectHandle) => (session: SessionHandle) => {
        bench.cryptoki.setAttributes(session, key, { LABEL: SCRATCH_LABEL })
      }
      bench.perform(relabel(bench.aes(['ENCRYPT'])))
      return bench.attempt(relabel(bench.aes(['ENCRYPT'], { MODIFIABLE: false })))
    },
  },
  {
    ...ROW,
    id: 'set-modifiable-on',
    attribute: 'MODIFIABLE',
    attack: 'set MODIFIABLE from false to true',
    severity: 'critical',
    holds: 'MODIFIABLE=false is final',
    broken: 'MODIFIABLE=false can be taken back',
    run: (bench) => restore(bench, 'MODIFIABLE'),
  },
  {
    ...ROW,
    id: 'copy-uncopyable',
    attribute: 'COPYABLE',
    attack: 'copy a key with COPYABLE=false',
    holds: 'a key that is not copyable exists once',
    broken: 'COPYABLE=false is ignored: second objects of a key can be made',
    run: (bench) => {
      const key = bench.aes(['ENCRYPT'], { COPYABLE: false })
      return bench.attempt((session) =>
        bench.cryptoki.copyObject(session, key, { LABEL: SCRATCH_LABEL }),
      )
    },
  },
  {
    ...ROW,
    id: 'set-copyable-on',
    attribute: 'COPYABLE',
    attack: 'set COPYABLE from false to true',
    expected: 'CKR_ATTRIBUTE_READ_ONLY',
    holds: 'COPYABLE=false is final',
    broken: 'COPYABLE=false can be taken back',
    run: (bench) => restore(bench, 'COPYABLE'),
  },
  {
    ...ROW,
    id: 'destroy-undestroyable',
    attribute: 'DESTROYABLE',
    attack: 'destroy a key with DESTROYABLE=false',
    severity: 'note',
    holds: 'such a key dies only when its token is initialised again; keyrite sets it to true',
    broken: 'DESTROYABLE=false does not protect a key from being destroyed',
    run: (bench) => {
      const key = bench.aes(['ENCRYPT'], { DESTROYABLE: false })
      return bench.attempt((session) => bench.cryptoki.destroyObject(session, key))
    },
  },
  {
    ...ROW,
    id: 'set-destroyable-on',
    attribute: 'DESTROYABLE',
    attack: 'set DESTROYABLE from false to true',
    severity: 'note',
    holds: 'DESTROYABLE=false is final',
    broken: 'DESTROYABLE=false can be taken back',
    run: (bench) => restore(bench, 'DESTROYABLE'),
  },
  {
    ...ROW,
    id: 'use-destroyed',
    attribute: '-',
    attack: 'use a key after C_DestroyObject by its old handle',
    expected: 'CKR_KEY_HANDLE_INVALID',
    severity: 'critical',
    holds: 'a destroyed key cannot be used again',
    broken: 'a destroyed key is still usable: zeroisation cannot be claimed',
    run: (bench) => {
      bench.cipher()
      const key = bench.aes(['ENCRYPT'])
      bench.perform((session) => bench.cryptoki.destroyObject(session, key))
      return encryptWith(bench, key)
    },
  },
  {
    ...ROW,
    id: 'operation-outlives-key',
    attribute: '-',
    attack: 'go on with an encryption that was begun before C_DestroyObject',
    expected: 'left open',
    severity: 'note',
    holds: 'destroying a key ends the operations that use it',
    broken: 'an open operation outlives its key: close all sessions after zeroising one',
    run: (bench) => {
      const { cryptoki } = bench
      const mechanism = bench.cipher()
      const key = bench.aes(['ENCRYPT'])
      return bench.attempt((session) => {
        cryptoki.encryptInit(session, mechanism, key)
        cryptoki.encryptUpdate(session, BLOCK)
        cryptoki.destroyObject(bench.home, key)
        cryptoki.encryptUpdate(session, BLOCK)
      })
    },
  },
]
