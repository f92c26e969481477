/** The examination itself: everything the doctor asks an open module. Runs in the child process. */
import { CKF_MECHANISM, CKF_SLOT, flagNames } from './constants.ts'
import { mechanismName } from './constants-ckm.ts'
import type { Cryptoki } from './cryptoki.ts'
import type { DoctorRequest } from './doctor-protocol.ts'
import type { DoctorFindings, MechanismReport, SlotReport, TokenReport } from './doctor-report.ts'
import { enforcementTable } from './enforcement.ts'
import { quietly } from './enforcement-bench.ts'
import type { ProbeSite } from './enforcement-bench.ts'
import { isRefusal } from './enforcement-row.ts'
import { VECTOR_QUESTIONS, answer } from './known-answer.ts'
import { softwareQuestions } from './known-answer-signature.ts'
import { probeWraps } from './known-answer-wrap.ts'
import { chooseProfile } from './profile.ts'
import { isInitialised, presentTokens, tokenByUri } from './slot.ts'
import type { PresentToken } from './slot.ts'
import type { ModuleInfo } from './types.ts'
import { parseUri } from './uri.ts'

/** Told what is being done, so that a crash can be traced. */
export type Announce = (during: string) => void

function tokenReport(token: PresentToken): TokenReport {
  const { raw, info } = token
  return {
    ...info,
    initialised: isInitialised(token),
    minPinLength: raw.minPinLength,
    maxPinLength: raw.maxPinLength,
    maxSessions: raw.maxSessionCount ?? null,
    maxReadWriteSessions: raw.maxRwSessionCount ?? null,
  }
}

function slotReports(cryptoki: Cryptoki, tokens: readonly PresentToken[]): SlotReport[] {
  return cryptoki.slots(false).map((slotId) => {
    const slot = cryptoki.slotInfo(slotId)
    const token = tokens.find(({ info }) => info.slotId === slotId)
    return {
      slotId,
      description: slot.description,
      manufacturerId: slot.manufacturerId,
      flags: flagNames(CKF_SLOT, slot.flags).map((name) => `CKF_${name}`),
      hardwareVersion: slot.hardwareVersion,
      firmwareVersion: slot.firmwareVersion,
      token: token === undefined ? null : tokenReport(token),
    }
  })
}

function mechanismReport(cryptoki: Cryptoki, slotId: number, type: number): MechanismReport {
  const name = mechanismName(type)
  try {
    const { minKeySize, maxKeySize, flags } = cryptoki.mechanismInfo(slotId, type)
    return { name, type, minKeySize, maxKeySize, flags: flagNames(CKF_MECHANISM, flags) }
  } catch (error) {
    if (!isRefusal(error)) throw error
    return { name, type, minKeySize: 0, maxKeySize: 0, flags: [], refused: error.rv }
  }
}

/** The token to probe, or why there is none. */
function chooseToken(
  cryptoki: Cryptoki,
  tokens: readonly PresentToken[],
  { tokenUri, pin }: DoctorRequest,
): PresentToken | string {
  if (tokenUri !== undefined) return tokenByUri(cryptoki, parseUri(tokenUri))
  // A PIN goes to a token that was named, or to the only one there is: never to a guess.
  if (pin !== 'none') return tokenByUri(cryptoki, {})
  const [only, ...others] = tokens.filter(isInitialised)
  if (only === undefined) return 'no token is initialised'
  return others.length === 0 ? only : 'several tokens are initialised: name one by its URI'
}

/**
 * Examines an open module. `pin` is used for one login, and not wiped here.
 * @throws Pkcs11Error of the login, or when the token goes away; TokenError TOKEN_NOT_FOUND, TOKEN_AMBIGUOUS.
 */
export function examine(
  cryptoki: Cryptoki,
  request: DoctorRequest,
  pin: Uint8Array,
  announce: Announce,
): DoctorFindings {
  announce('identity of the module')
  const module: ModuleInfo = { path: request.path, sha256: request.sha256, ...cryptoki.info() }
  announce('slots and tokens')
  const tokens = presentTokens(cryptoki)
  const slots = slotReports(cryptoki, tokens)
  const token = chooseToken(cryptoki, tokens, request)
  if (typeof token === 'string') {
    return {
      module,
      slots,
      probed: null,
      notProbed: token,
      mechanisms: [],
      knownAnswers: [],
      wraps: [],
      enforcement: [],
      profile: null,
    }
  }
  const { slotId, label, serial } = token.info
  announce('mechanisms')
  const types = cryptoki.mechanismList(slotId)
  const mechanisms = types.map((type) => mechanismReport(cryptoki, slotId, type))
  const loggedIn = request.pin !== 'none'
  announce('login')
  const session = cryptoki.openSession(slotId, { readWrite: loggedIn })
  try {
    if (loggedIn) cryptoki.login(session, 'user', request.pin === 'path' ? null : pin)
    const site: ProbeSite = { cryptoki, slotId, loggedIn, soleLogin: true }
    const questions = [...VECTOR_QUESTIONS, ...softwareQuestions()]
    const knownAnswers = questions.map((question) => {
      announce(`known answer ${question.id}`)
      return answer(site, question)
    })
    announce('known answers of AES key wrap')
    const wraps = probeWraps(site, types)
    const enforcement = enforcementTable(site, announce)
    const { manufacturerId, libraryDescription } = module
    const names = [libraryDescription, manufacturerId, token.info.manufacturerId, token.info.model]
    return {
      module,
      slots,
      probed: { slotId, label, serial, loggedIn },
      notProbed: null,
      mechanisms,
      knownAnswers,
      wraps,
      enforcement,
      profile: chooseProfile({ knownAnswers, wraps, enforcement, mechanisms: types, names }),
    }
  } finally {
    quietly(() => cryptoki.closeSession(session))
  }
}
