/** The Token of the public surface: each method is one operation on a connection. */
import { concat } from '../bytes.ts'
import { TokenError } from '../errors.ts'
import type { Random } from '../ports.ts'
import type { Template } from './attribute.ts'
import { assertLogin } from './connection.ts'
import type { Connection, Place } from './connection.ts'
import { conform } from './conform.ts'
import type { Created, Unsupported } from './create.ts'
import type { ObjectHandle } from './cryptoki.ts'
import { assertBirthGone, checkApproval, destroyObjects, proveGone } from './destroy.ts'
import { open, seal } from './gcm.ts'
import { checkSpec, generatePair, generateSecret, isSecretRole } from './generate.ts'
import { takeInventory } from './inventory.ts'
import { assertSameKey, bindKey, internalsOf, isKeyObject, OBJECT_CLASS, runOn } from './key.ts'
import type { KeyHome } from './key.ts'
import { probeKwp } from './kwp.ts'
import type { KwpCapability } from './kwp.ts'
import { lockedCopy, unwrapKwp, wrapKwp } from './transfer.ts'
import type { Key, KeySpec, Token } from './types.ts'
import { describeObject, keyClassOf, matchesToken, parseUri } from './uri.ts'

/** NSS gives less than 64 KiB per call. */
const RANDOM_CHUNK = 0x8000

/** What one token's probes found; kept as long as the connection. */
interface Capabilities {
  kwp?: KwpCapability | TokenError
  readonly unsupported: Unsupported
}

function kwpOf(capabilities: Capabilities, place: Place): KwpCapability | TokenError {
  if (capabilities.kwp !== undefined) return capabilities.kwp
  try {
    capabilities.kwp = probeKwp(place)
  } catch (error) {
    if (!(error instanceof TokenError) || error.code !== 'MECHANISM_UNAVAILABLE') throw error
    capabilities.kwp = error
  }
  return capabilities.kwp
}

/** The KWP mechanism an operation cannot do without. @throws TokenError MECHANISM_UNAVAILABLE. */
function needKwp(capabilities: Capabilities, place: Place): KwpCapability {
  const kwp = kwpOf(capabilities, place)
  if (kwp instanceof TokenError) throw kwp
  return kwp
}

function random(connection: Connection): Random {
  return {
    bytes: (length) =>
      connection.run(({ cryptoki, session }) => {
        if (!Number.isSafeInteger(length) || length < 1) {
          throw new TokenError('ARGUMENT_INVALID', 'invalid number of random bytes', {
            where: 'random',
            expected: 'a positive integer',
            got: `${length}`,
          })
        }
        const parts: Uint8Array[] = []
        for (let left = length; left > 0; left -= RANDOM_CHUNK) {
          parts.push(cryptoki.generateRandom(session, Math.min(left, RANDOM_CHUNK)))
        }
        return concat(...parts)
      }),
  }
}

const byName = (a: Key, b: Key): number => {
  const text = ({ class: keyClass, label, id }: Key) => JSON.stringify([keyClass, label, id])
  return text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0
}

/** Session objects belong to the login session: pool sessions come and go. */
const sessionFor = (spec: KeySpec) => ({
  on: spec.onToken === false ? ('login' as const) : ('pool' as const),
})

/** A token over an open connection. `closed` is told when it is disposed. */
export function createToken(connection: Connection, closed: () => void): Token {
  const capabilities: Capabilities = { unsupported: new Map() }
  const home: KeyHome = {
    connection,
    kwp: (place) => {
      const kwp = kwpOf(capabilities, place)
      return kwp instanceof TokenError ? undefined : kwp
    },
  }
  const inside = (key: Key, where: string) => internalsOf(home, key, where)
  const bind = (place: Place, { handle, waivers }: Created): Key =>
    bindKey(home, place, handle, waivers)

  const findKeys = (place: Place, template: Template): Key[] => {
    assertLogin(place)
    return place.cryptoki
      .findObjects(place.session, template)
      .filter((object: ObjectHandle) => isKeyObject(place, object))
      .map((object) => bindKey(home, place, object))
      .sort(byName)
  }

  return {
    get info() {
      return connection.info
    },
    get epoch() {
      return connection.epoch
    },
    random: random(connection),

    async generate(spec) {
      checkSpec(spec)
      const { role } = spec
      return connection.run((place) => {
        if (!isSecretRole(role)) {
          return bind(place, generatePair(place, capabilities.unsupported, { ...spec, role }))
        }
        const kwp = role === 'kek' ? needKwp(capabilities, place) : undefined
        return bind(place, generateSecret(place, capabilities.unsupported, { ...spec, role }, kwp))
      }, sessionFor(spec))
    },

    async key(uriText) {
      const uri = parseUri(uriText)
      const keyClass = keyClassOf(uri)
      return connection.run((place) => {
        const { cryptoki, slotId } = place
        const where = describeObject(uri)
        const slot = cryptoki.slotInfo(slotId)
        if (!matchesToken(uri, { ...connection.info, slot, library: cryptoki.info() })) {
          throw new TokenError('KEY_NOT_FOUND', 'the URI names a key of another token', {
            where,
            expected: `token=${connection.info.label};serial=${connection.info.serial}`,
          })
        }
        const [key, ...others] = findKeys(place, {
          ...(uri.object === undefined ? {} : { LABEL: uri.object }),
          ...(uri.id === undefined ? {} : { ID: uri.id }),
          ...(keyClass === undefined ? {} : { CLASS: OBJECT_CLASS[keyClass] }),
        })
        if (key === undefined) {
          throw new TokenError('KEY_NOT_FOUND', 'no such key on the token', {
            where,
            expected: 'one key that matches',
            hint: 'keyrite key list shows what is there',
          })
        }
        if (others.length === 0) return key
        throw new TokenError('KEY_AMBIGUOUS', 'more than one key matches', {
          where,
          expected: 'one key',
          got: [key, ...others].map((found) => `${found.class} ${found.id}`).join(', '),
          hint: 'add type= or id= to the URI',
        })
      })
    },

    find: ({ id, label, class: keyClass }) =>
      connection.run((place) =>
        findKeys(place, {
          ...(id === undefined ? {} : { ID: id }),
          ...(label === undefined ? {} : { LABEL: label }),
          ...(keyClass === undefined ? {} : { CLASS: OBJECT_CLASS[keyClass] }),
        }),
      ),

    inventory: () => connection.run(takeInventory),

    async wrapKwp(kek, key) {
      const wrapping = inside(kek, 'wrapKwp: kek')
      const wrapped = inside(key, 'wrapKwp: key')
      return runOn(connection, [wrapping, wrapped], (place) =>
        wrapKwp(
          place,
          needKwp(capabilities, place),
          wrapping.handle(place),
          wrapped.handle(place),
          key.keyType,
        ),
      )
    },

    async unwrapKwp(kek, wrapped, spec) {
      checkSpec(spec)
      const unwrapping = inside(kek, 'unwrapKwp: kek')
      return runOn(
        connection,
        [unwrapping],
        (place) => {
          const kwp = needKwp(capabilities, place)
          const handle = unwrapping.handle(place)
          const { unsupported } = capabilities
          return bind(place, unwrapKwp(place, unsupported, kwp, handle, wrapped, spec))
        },
        sessionFor(spec),
      )
    },

    async sealGcm(key, plaintext, aad) {
      const sealing = inside(key, 'sealGcm: key')
      return runOn(connection, [sealing], (place) =>
        seal(place, sealing.handle(place), plaintext, aad),
      )
    },

    async openGcm(key, box, aad) {
      const opening = inside(key, 'openGcm: key')
      return runOn(connection, [opening], (place) => open(place, opening.handle(place), box, aad))
    },

    async lock(birth, spec) {
      checkSpec({ ...spec, form: 'locked' })
      const born = inside(birth, 'lock: birth')
      return runOn(connection, [born], (place) => {
        const { unsupported } = capabilities
        const kwp = spec.role === 'kek' ? needKwp(capabilities, place) : undefined
        const handle = born.handle(place)
        const created = lockedCopy(place, unsupported, kwp, handle, spec)
        const locked = assertSameKey(home, place, handle, created)
        // NSS has one object per CKA_ID: the copy replaced the birth form.
        if (created.handle === handle) return locked
        place.change(() => place.cryptoki.destroyObject(place.session, handle))
        assertBirthGone(place, born.name, handle)
        return locked
      })
    },

    async conform(key, spec) {
      checkSpec(spec)
      const checked = inside(key, 'conform: key')
      return runOn(connection, [checked], (place) => {
        const kwp = spec.role === 'kek' ? needKwp(capabilities, place) : undefined
        return conform(place, checked.handle(place), spec, kwp)
      })
    },

    async destroy(key, approval) {
      checkApproval(approval)
      const doomed = inside(key, 'destroy: key')
      const dead = await runOn(connection, [doomed], (place) =>
        destroyObjects(place, doomed.name, doomed.handle(place)),
      )
      await proveGone(connection, doomed.name, dead)
    },

    async discard(key) {
      const doomed = inside(key, 'discard: key')
      await runOn(connection, [doomed], (place) => {
        const handle = doomed.handle(place)
        const { cryptoki, session } = place
        if (cryptoki.getAttributes(session, handle, ['TOKEN']).value('TOKEN') !== false) {
          throw new TokenError('ARGUMENT_INVALID', 'only session objects can be discarded', {
            where: key.uri,
            expected: 'CKA_TOKEN false',
            hint: 'destroying a key of the token needs an approval',
          })
        }
        destroyObjects(place, doomed.name, handle)
      })
    },

    setPin: (oldPin, newPin) =>
      connection.run(
        (place) => place.change(() => place.cryptoki.setPin(place.session, oldPin, newPin)),
        { on: 'login' },
      ),

    async initPin(pin) {
      if (connection.user !== 'so') {
        throw new TokenError('ARGUMENT_INVALID', 'only the security officer sets the user PIN', {
          where: 'initPin',
          expected: "a login with user: 'so'",
          got: connection.user,
        })
      }
      await connection.run(
        (place) => place.change(() => place.cryptoki.initPin(place.session, pin)),
        { on: 'login' },
      )
    },

    async [Symbol.asyncDispose]() {
      await connection.close()
      closed()
    },
  }
}
