/** Worker of `native-threads.test.ts`: uses the library on a module, reports what it saw. */
import { parentPort, workerData } from 'node:worker_threads'

import type { KeyriteError } from '../../src/errors.ts'
import { CKM } from '../../src/pkcs11/constants-ckm.ts'
import { mechanism } from '../../src/pkcs11/mechanism.ts'
import { openCryptoki } from '../../src/pkcs11/native.ts'
import { slotOf } from './open-session.ts'

export interface Job {
  readonly module: string
  readonly label: string
  /** `use`: encrypt with the key labelled `shared`; `keygen`: a slow call; `open`: nothing more. */
  readonly job: 'use' | 'keygen' | 'open'
}

export interface Report {
  readonly owner: boolean
  readonly state?: number
  readonly sealed?: Uint8Array
  readonly refusals: readonly string[]
}

const { module, label, job } = workerData as Job
const refusals: string[] = []
const refused = (call: () => void) => {
  try {
    call()
    refusals.push('none')
  } catch (error) {
    refusals.push((error as KeyriteError).code)
  }
}

const cryptoki = openCryptoki({ path: module })
let report: Report = { owner: cryptoki.owner, refusals }
if (job !== 'open') {
  const session = cryptoki.openSession(slotOf(cryptoki, label), { readWrite: true })
  report = { ...report, state: cryptoki.sessionInfo(session).state }
  if (job === 'keygen') {
    parentPort?.postMessage('started')
    cryptoki.generateKeyPair(
      session,
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      { TOKEN: false, MODULUS_BITS: 4096, PUBLIC_EXPONENT: Uint8Array.of(1, 0, 1) },
      { TOKEN: false },
    )
  } else {
    const key = cryptoki.findObjects(session, { LABEL: 'shared' })[0]
    if (key === undefined) throw new Error('no shared key')
    const ecb = mechanism(CKM.AES_ECB)
    const sealed = cryptoki.encrypt(session, ecb, key, new Uint8Array(16))
    for (let round = 0; round < 200; round++) {
      cryptoki.encrypt(session, ecb, key, new Uint8Array(4096))
    }
    report = { ...report, sealed }
  }
}
refused(() => cryptoki.reinitialize())
refused(() => cryptoki.reload())
cryptoki.close()
parentPort?.postMessage(report)
