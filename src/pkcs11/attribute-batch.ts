/** Reading many attributes of one object when some may be missing, sensitive or make the module fail. */
import { wipe } from '../bytes.ts'
import type { Addon } from './addon.ts'
import { attributeType, decodeAttribute, kindOf } from './attribute.ts'
import type { AttributeName, AttributeRead, ReadValue, VendorAttribute } from './attribute.ts'
import { CKR } from './constants-ckr.ts'
import type { AttributeReads } from './cryptoki.ts'
import { classify, pkcs11Error, returnValueName } from './return-value.ts'

type Name = AttributeName | VendorAttribute
type Read = (names: readonly Name[]) => ReturnType<Addon['getAttributes']>

/** Failures of the session, token or module, which say nothing about one attribute. */
function concernsEverything(ckr: number): boolean {
  const { category, retry } = classify(ckr)
  return (
    category === 'session' ||
    category === 'token-gone' ||
    category === 'module' ||
    retry === 'reinit' ||
    retry === 'reload' ||
    retry === 'relogin'
  )
}

const lengthOf = (value: ReadValue | undefined): number => value?.length ?? 0

function decode(name: Name, value: ReadValue): AttributeRead {
  return value === null ? { status: 'absent' } : decodeAttribute(name, value)
}

function readSingly(read: Read, name: Name): AttributeRead {
  const { rv, values } = read([name])
  const value = values[0] ?? null
  if (rv === CKR.OK) return decode(name, value)
  if (rv === CKR.ATTRIBUTE_SENSITIVE) return { status: 'sensitive' }
  if (rv === CKR.ATTRIBUTE_TYPE_INVALID) return { status: 'absent' }
  const templateFault = kindOf(name) === 'template' && read(['CLASS']).rv === CKR.OK
  if (concernsEverything(rv) && !templateFault) throw pkcs11Error('C_GetAttributeValue', rv)
  return { status: 'failed', ckr: rv, rv: returnValueName(rv) }
}

/**
 * One call for all; when the module answers with a partial result, a second one for those that
 * had a value, and single calls for the rest. Some modules stop filling in at the first attribute
 * they do not know, so nothing of a partial result is used as a value. Templates are read singly:
 * p11-kit's client (0.24) cannot carry them and answers CKR_DEVICE_ERROR to the whole call.
 * @throws Pkcs11Error for failures of the session, the object handle, the token or the module.
 */
export function readBatch(read: Read, names: readonly Name[]): AttributeReads {
  const reads = new Map<Name, AttributeRead>()
  /** Names of which the module gave something; their values are used only if it gave all. */
  const batch = (some: readonly Name[]): readonly Name[] => {
    if (some.length === 0) return []
    const { rv, values } = read(some)
    if (concernsEverything(rv)) throw pkcs11Error('C_GetAttributeValue', rv)
    const given = some.filter((_, at) => lengthOf(values[at]) > 0)
    if (rv === CKR.OK) some.forEach((name, at) => reads.set(name, decode(name, values[at] ?? null)))
    // A discarded value may be a readable key.
    else for (const value of values) if (value instanceof Uint8Array) wipe(value)
    return given
  }
  const given = batch(names.filter((name) => kindOf(name) !== 'template'))
  if (reads.size === 0) batch(given)
  return new Reads(
    new Map(names.map((name) => [name, reads.get(name) ?? readSingly(read, name)] as const)),
  )
}

/** CKA_* numbers of names. */
export const attributeTypes = (names: readonly Name[]): number[] => names.map(attributeType)

class Reads implements AttributeReads {
  readonly #reads: ReadonlyMap<string, AttributeRead>

  constructor(reads: ReadonlyMap<string, AttributeRead>) {
    this.#reads = reads
  }

  get size(): number {
    return this.#reads.size
  }

  get(name: string): AttributeRead<never> | undefined {
    return this.#reads.get(name) as AttributeRead<never> | undefined
  }

  value(name: string): never {
    const read = this.#reads.get(name)
    return (read?.status === 'value' ? read.value : undefined) as never
  }

  entries(): IterableIterator<[Name, AttributeRead]> {
    return this.#reads.entries() as IterableIterator<[Name, AttributeRead]>
  }
}
