/**
 * A binding: the site facts a plan leaves open. Its digest stands beside the plan's in every approval.
 * Paths in the file are relative to the file; they are digested as written and resolved for use.
 */
import { dirname, resolve } from 'node:path'

import { canonicalDigest } from '../canonical.ts'
import { bindingSchema } from './binding-schema.ts'
import type { Binding, BoundShares, BoundSigner } from './binding-types.ts'
import type { SourceMap, SourcePath } from './source-map.ts'
import { type Problem, checkShape, readYaml, refuseProblems } from './strict-yaml.ts'

export { checkBinding } from './binding-check.ts'
export type { Binding, BoundPerson, BoundShares, BoundSigner, PinnedFile } from './binding-types.ts'

/** A binding as written, the same with absolute paths, where its parts stand, and its digest. */
export interface LoadedBinding {
  /** As written; this is what is digested and what a bundle holds. */
  readonly binding: Binding
  /** With absolute paths. */
  readonly resolved: Binding
  readonly source: SourceMap
  /** SHA-256 of the canonical JSON of `binding`. */
  readonly digest: Uint8Array
}

/** Names of fields that would hold a secret. `lock: passphrase` is a value and says only how. */
const SECRET_FIELD =
  /^(?:so[-_]?|user[-_]?)?pin(?:[-_]?value|[-_]?source)?$|pass(?:phrase|word)|secret|private[-_]?key|^(?:share|seed|identity[-_]?key)$/i
/** Values that are secrets whatever their field is called. */
const SECRET_VALUE = /AGE-SECRET-KEY-|BEGIN [A-Z ]*PRIVATE KEY|pin-value=/i

function secrets(value: unknown, path: SourcePath = []): Problem[] {
  if (typeof value === 'string') {
    return SECRET_VALUE.test(value)
      ? [{ path, message: 'the value is a secret; a binding never holds one' }]
      : []
  }
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]): Problem[] => {
    const here = [...path, Array.isArray(value) ? Number(key) : key]
    return SECRET_FIELD.test(key)
      ? [{ path: here, message: 'a binding never holds a secret', atKey: true }]
      : secrets(inner, here)
  })
}

function resolved(binding: Binding, base: string): Binding {
  const absolute = (path: string): string => resolve(base, path)
  const signer = (given: BoundSigner): BoundSigner =>
    'file' in given
      ? { file: absolute(given.file) }
      : 'agent' in given
        ? { agent: absolute(given.agent) }
        : given
  const shares = ({ directory, lock }: BoundShares): BoundShares => ({
    directory: absolute(directory),
    lock: lock === 'passphrase' ? lock : { ...lock, identity: absolute(lock.identity) },
  })
  const { module, people, roster, policy, previous, inputs } = binding
  return {
    ...binding,
    module: { ...module, path: absolute(module.path) },
    roster: { ...roster, file: absolute(roster.file) },
    policy: { ...policy, file: absolute(policy.file) },
    ...(previous && { previous: { ...previous, bundle: absolute(previous.bundle) } }),
    ...(inputs && {
      inputs: Object.fromEntries(
        Object.entries(inputs).map(([input, file]) => [input, absolute(file)]),
      ),
    }),
    people: Object.fromEntries(
      Object.entries(people).map(([id, person]) => [
        id,
        {
          ...person,
          ...(person.signer && { signer: signer(person.signer) }),
          ...(person.shares && { shares: shares(person.shares) }),
        },
      ]),
    ),
  }
}

/**
 * Reads a binding file, or the `binding.json` of a bundle. Throws ConfigError with `file:line:column`;
 * a field or value that looks like a secret is named without repeating it.
 */
export function loadBinding(text: string, file: string): LoadedBinding {
  const yaml = readYaml(text, file)
  const found = secrets(yaml.value)
  if (found.length > 0) refuseProblems(found, 'the binding', yaml.source)
  // Values parsed by zod hold no undefined, so optional fields are absent or set.
  const binding = checkShape(bindingSchema, yaml, 'the binding') as Binding
  return {
    binding,
    resolved: resolved(binding, dirname(resolve(file))),
    source: yaml.source,
    digest: canonicalDigest(binding),
  }
}
