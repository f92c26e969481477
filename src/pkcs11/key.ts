/**
 * Keys without handles. A key is a name on a token: class, CKA_ID, label, and a check value that was
 * taken when it was made or first found. Each operation finds the handle of its connection epoch;
 * after a reconnect the check value is taken again, because the same name may mean another key by then.
 */
import { toHex } from '../bytes.ts'
import { Pkcs11Error, TokenError } from '../errors.ts'
import type { Signer } from '../ports.ts'
import { readAttributes } from './attribute-read.ts'
import { readRecord } from './attribute-record.ts'
import { blockCipher } from './block-cipher.ts'
import { blockRoutes } from './block-route.ts'
import { CKK, CKO } from './constants.ts'
import { assertLogin } from './connection.ts'
import type { Connection, Place } from './connection.ts'
import { verifyOrDestroy } from './create.ts'
import type { Created } from './create.ts'
import type { ObjectHandle } from './cryptoki.ts'
import type { StartJob } from './jobs.ts'
import { aesKcv, cmacInToken, sameKcv, spkiKcv } from './kcv.ts'
import type { KwpCapability } from './kwp.ts'
import { isReturnValue } from './return-value.ts'
import { readSpki, signAndVerify } from './signature.ts'
import type { StandingOwner } from './standing-operation.ts'
import type { Kcv, Key, Waiver } from './types.ts'
import { formatUri } from './uri.ts'

const KEY_CLASSES: readonly number[] = [CKO.SECRET_KEY, CKO.PRIVATE_KEY, CKO.PUBLIC_KEY]

/** Whether an object is a key at all. */
export const isKeyObject = ({ cryptoki, session }: Place, object: ObjectHandle): boolean =>
  KEY_CLASSES.includes(cryptoki.getAttributes(session, object, ['CLASS']).value('CLASS') ?? -1)

/** What names a key on its token. */
export interface KeyName {
  readonly class: Key['class']
  readonly id: Uint8Array
  readonly label: string
  readonly onToken: boolean
}

/** CKO_* of a key class. */
export const OBJECT_CLASS: Readonly<Record<Key['class'], number>> = {
  'secret-key': CKO.SECRET_KEY,
  'private-key': CKO.PRIVATE_KEY,
  'public-key': CKO.PUBLIC_KEY,
}

/** The token's side of a key: what keys need from it. */
export interface KeyHome {
  readonly connection: Connection
  /** The probed KWP mechanism; undefined where the token has none. */
  kwp(place: Place): KwpCapability | undefined
}

interface Internals {
  readonly home: KeyHome
  readonly name: KeyName
  /** Handle in this place's epoch; checked against the check value once per epoch. */
  handle(place: Place): ObjectHandle
  /** The token does not know the handle any more. */
  forget(): void
}

/**
 * One operation that uses keys. Handles the token does not know any more are looked up again on the next
 * attempt, so that a key destroyed meanwhile is KEY_NOT_FOUND and not taken for a lost connection.
 */
export const runOn = <T>(
  connection: Connection,
  keys: readonly Pick<Internals, 'forget'>[],
  work: (place: Place, start: StartJob) => T | Promise<T>,
  options?: Parameters<Connection['run']>[1],
): Promise<T> =>
  connection.run(async (place, start) => {
    try {
      return await work(place, start)
    } catch (error) {
      if (isReturnValue(error, 'KEY_HANDLE_INVALID', 'OBJECT_HANDLE_INVALID')) {
        for (const key of keys) key.forget()
      }
      throw error
    }
  }, options)

const INTERNALS = new WeakMap<Key, Internals>()

const KEY_TYPES: Readonly<Record<number, string>> = {
  [CKK.AES]: 'AES',
  [CKK.GENERIC_SECRET]: 'GENERIC_SECRET',
  [CKK.RSA]: 'RSA',
  [CKK.EC]: 'EC',
  [CKK.EC_EDWARDS]: 'EC_EDWARDS',
}

/** `AES`, `EC_EDWARDS`, ...; `0x...` for types keyrite does not use. */
export const keyTypeName = (type: number | undefined): string =>
  type === undefined ? 'unknown' : (KEY_TYPES[type] ?? `0x${type.toString(16)}`)

/** Objects with exactly this name. */
export function findNamed({ cryptoki, session }: Place, name: KeyName): ObjectHandle[] {
  return cryptoki.findObjects(session, {
    CLASS: OBJECT_CLASS[name.class],
    ID: name.id,
    LABEL: name.label,
    TOKEN: name.onToken,
  })
}

const nameText = (name: KeyName): string =>
  `${name.class} object=${name.label};id=${toHex(name.id)}`

function exactlyOne(handles: readonly ObjectHandle[], name: KeyName): ObjectHandle {
  const [handle, ...others] = handles
  if (handle === undefined) {
    throw new TokenError('KEY_NOT_FOUND', 'the key is not on the token any more', {
      where: nameText(name),
      hint: 'was it destroyed, or is this another token?',
    })
  }
  if (others.length > 0) {
    throw new TokenError('KEY_AMBIGUOUS', 'several objects bear the name of this key', {
      where: nameText(name),
      got: `${others.length + 1} objects`,
      hint: 'somebody copied or planted a key: compare check values before using any of them',
    })
  }
  return handle
}

function publicHalf(place: Place, name: KeyName): ObjectHandle {
  return exactlyOne(findNamed(place, { ...name, class: 'public-key' }), {
    ...name,
    class: 'public-key',
  })
}

/** Takes the check value. @throws TokenError MECHANISM_UNAVAILABLE for keys that allow none. */
function takeKcv(home: KeyHome, place: Place, name: KeyName, handle: ObjectHandle): Kcv {
  if (name.class !== 'secret-key') {
    const half = name.class === 'public-key' ? handle : publicHalf(place, name)
    return spkiKcv(readSpki(place, half).spki)
  }
  const reads = readAttributes(place, handle, ['ENCRYPT', 'WRAP', 'SIGN', 'ALLOWED_MECHANISMS'])
  const wrap = reads.value('WRAP') === true
  return aesKcv(
    place,
    handle,
    {
      encrypt: reads.value('ENCRYPT') === true,
      wrap,
      sign: reads.value('SIGN') === true,
      mechanisms: reads.value('ALLOWED_MECHANISMS'),
    },
    wrap ? home.kwp(place) : undefined,
  )
}

function assertSame(name: KeyName, known: Kcv, now: Kcv): void {
  if (sameKcv(known, now)) return
  throw new TokenError('KEY_CHANGED', 'another key bears the name of this one', {
    where: nameText(name),
    expected: `${known.method} ${known.value}`,
    got: `${now.method} ${now.value}`,
    hint: 'the key was replaced while the connection was down, or behind it',
  })
}

/** A key whose object was just found or made. */
export function bindKey(
  home: KeyHome,
  place: Place,
  handle: ObjectHandle,
  waivers: readonly Waiver[] = [],
): Key {
  const { cryptoki, session } = place
  const reads = cryptoki.getAttributes(session, handle, [
    'CLASS',
    'KEY_TYPE',
    'ID',
    'LABEL',
    'TOKEN',
  ])
  const objectClass = reads.value('CLASS')
  const found = (Object.keys(OBJECT_CLASS) as Key['class'][]).find(
    (candidate) => OBJECT_CLASS[candidate] === objectClass,
  )
  if (found === undefined) {
    throw new TokenError('KEY_NOT_FOUND', 'the object is not a key', {
      where: reads.value('LABEL') ?? 'object',
    })
  }
  const name: KeyName = {
    class: found,
    id: reads.value('ID') ?? new Uint8Array(),
    label: reads.value('LABEL') ?? '',
    onToken: reads.value('TOKEN') ?? true,
  }
  return makeKey(home, name, keyTypeName(reads.value('KEY_TYPE')), waivers, {
    epoch: place.epoch,
    handle,
    kcv: kcvIfAny(home, place, name, handle),
  })
}

/**
 * Binds the copy of a key, once its check value equals the original's.
 * @throws TokenError KNOWN_ANSWER_MISMATCH; the copy is destroyed.
 */
export function assertSameKey(
  home: KeyHome,
  place: Place,
  original: ObjectHandle,
  copy: Created,
): Key {
  return verifyOrDestroy(place, [copy.handle], () => {
    const name: KeyName = { class: 'secret-key', id: new Uint8Array(), label: '', onToken: true }
    const wanted = takeKcv(home, place, name, original)
    const got = takeKcv(home, place, name, copy.handle)
    if (sameKcv(wanted, got)) return bindKey(home, place, copy.handle, copy.waivers)
    throw new TokenError('KNOWN_ANSWER_MISMATCH', 'the copy is not the same key', {
      where: 'C_CopyObject',
      expected: `${wanted.method} ${wanted.value}`,
      got: `${got.method} ${got.value}`,
    })
  })
}

/** Foreign keys may allow no check value at all; they can still be listed and destroyed. */
function kcvIfAny(
  home: KeyHome,
  place: Place,
  name: KeyName,
  handle: ObjectHandle,
): Kcv | undefined {
  try {
    return takeKcv(home, place, name, handle)
  } catch (error) {
    const known =
      error instanceof TokenError &&
      (error.code === 'MECHANISM_UNAVAILABLE' || error.code === 'KEY_NOT_FOUND')
    if (known || (error instanceof Pkcs11Error && error.retry === 'never')) return undefined
    throw error
  }
}

interface Known {
  epoch: number
  handle: ObjectHandle
  readonly kcv: Kcv | undefined
}

function makeKey(
  home: KeyHome,
  name: KeyName,
  keyType: string,
  waivers: readonly Waiver[],
  known: Known,
): Key {
  const { connection } = home
  let cached: Pick<Known, 'epoch' | 'handle'> | undefined = known

  const handle = (place: Place): ObjectHandle => {
    if (cached?.epoch === place.epoch) return cached.handle
    const candidates = findNamed(place, name)
    if (candidates.length === 0) assertLogin(place)
    const found = exactlyOne(candidates, name)
    if (known.kcv !== undefined) {
      assertSame(name, known.kcv, takeKcv(home, place, name, found))
    }
    cached = { epoch: place.epoch, handle: found }
    return found
  }

  const owner: StandingOwner = {}
  const forget = (): void => {
    cached = undefined
  }
  const run: Run = (work, mayStand = false) =>
    runOn(
      connection,
      [{ forget }],
      (place, start) => work(place, handle(place), start),
      mayStand ? { owner } : {},
    )
  const route = blockRoutes()

  const key: Key = {
    label: name.label,
    id: toHex(name.id),
    class: name.class,
    keyType,
    waivers,
    get uri() {
      const type = { 'secret-key': 'secret-key', 'private-key': 'private', 'public-key': 'public' }
      const { label, serial } = connection.info
      return formatUri({
        token: label,
        serial,
        object: name.label,
        type: type[name.class] as 'secret-key' | 'private' | 'public',
        ...(name.id.length === 0 ? {} : { id: name.id }),
      })
    },
    attributes: () => run((place, found) => readRecord(place, found, name.class)),
    kcv: () =>
      run((place, found) => {
        const now = takeKcv(home, place, name, found)
        if (known.kcv !== undefined) assertSame(name, known.kcv, now)
        return now
      }),
    blockCipher(options) {
      if (name.class !== 'secret-key') throw wrongClass(name, 'secret-key')
      return blockCipher({ label: name.label, route, run }, options)
    },
    cmac: async (message) => {
      if (name.class !== 'secret-key') throw wrongClass(name, 'secret-key')
      return run((place, found) => cmacInToken(place, found, message))
    },
    signer: () => signer(name, run),
  }
  INTERNALS.set(key, { home, name, handle, forget })
  return key
}

type Run = <T>(
  work: (place: Place, handle: ObjectHandle, start: StartJob) => T | Promise<T>,
  mayStand?: boolean,
) => Promise<T>

function wrongClass(name: KeyName, expected: string): TokenError {
  return new TokenError('ARGUMENT_INVALID', 'the key is not of the right class', {
    where: nameText(name),
    expected,
    got: name.class,
  })
}

async function signer(name: KeyName, run: Run): Promise<Signer> {
  if (name.class !== 'private-key') throw wrongClass(name, 'private-key')
  const publicKey = await run((place) => readSpki(place, publicHalf(place, name)))
  return {
    algorithm: publicKey.algorithm,
    publicKey: publicKey.spki,
    sign: (message) => run((place, found) => signAndVerify(place, found, publicKey, message)),
  }
}

/**
 * The inside of a key that belongs to `home`.
 * @throws TokenError ARGUMENT_INVALID for a key of another token or connection: a handle number of one
 * token may name something else on another, and modules do not check it.
 */
export function internalsOf(home: KeyHome, key: Key, where: string): Internals {
  const internals = INTERNALS.get(key)
  if (internals === undefined) {
    throw new TokenError('ARGUMENT_INVALID', 'not a key of a token', {
      where,
      expected: 'a Key that this Token returned',
    })
  }
  if (internals.home === home) return internals
  throw new TokenError('ARGUMENT_INVALID', 'the key belongs to another token', {
    where,
    expected: `a key of token=${home.connection.info.label};serial=${home.connection.info.serial}`,
    got: key.uri,
  })
}
