/** Which members of a JSON object are meant: dotted paths (`card.pan`) and JSON Pointers (RFC 6901, `/card/pan`). */
import { ConfigError } from '../errors.ts'
import { type RowPlan, encodeBytes } from './row.ts'

type LeafKind = 'value' | 'version' | 'tweak' | 'left out'

/** A member that is looked for, or an object on the way to one. */
export interface PathNode {
  /** The key with its colon, as bytes in JSON. */
  readonly spelled: string
  /** There are key versions among the children. */
  hasVersions: boolean
  /** As the plan names it; the shortest one for an object on the way. */
  readonly path: string
  readonly children: Map<string, PathNode>
  /** Index in the plan; undefined: an object on the way. */
  leaf: { readonly kind: LeafKind; readonly index: number } | undefined
  /** Number of the row it was last found in: tells the second of two equal keys. */
  seen: number
}

/** The keys of a path. @throws ConfigError. */
export function parsePath(path: string): string[] {
  const keys = path.startsWith('/')
    ? path
        .slice(1)
        .split('/')
        .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    : path.split('.')
  if (path !== '' && (path.startsWith('/') || !keys.includes(''))) return keys
  throw new ConfigError('not a path to a JSON member', {
    where: 'path',
    expected: 'keys with dots between them, or a JSON Pointer that begins with /',
    got: path === '' ? 'nothing' : 'an empty key',
  })
}

/** The paths of a plan as a tree. @throws ConfigError where one is named twice or lies inside another. */
export function pathTree({
  fields,
  versionFields,
  tweakFields,
  leftOut,
}: Pick<RowPlan, 'fields' | 'versionFields' | 'tweakFields' | 'leftOut'>): PathNode {
  const root = pathNode('', '')
  const add = (path: string, kind: LeafKind, index: number): void => {
    let [node, versionParent] = [root, undefined as PathNode | undefined]
    for (const key of parsePath(path)) {
      if (node.leaf !== undefined) throw overlapping(path)
      const child = node.children.get(key) ?? pathNode(key, path)
      if (kind === 'version') versionParent = node
      node.children.set(key, child)
      node = child
    }
    if (node.leaf !== undefined || node.children.size > 0) throw overlapping(path)
    node.leaf = { kind, index }
    if (versionParent !== undefined) versionParent.hasVersions = true
  }
  for (const [index, path] of fields.entries()) add(String(path), 'value', index)
  for (const [index, path] of versionFields.entries()) add(String(path), 'version', index)
  for (const [index, path] of tweakFields.entries()) add(String(path), 'tweak', index)
  for (const [index, path] of leftOut.entries()) add(String(path), 'left out', index)
  return root
}

const pathNode = (key: string, path: string): PathNode => ({
  spelled: `${encodeBytes(JSON.stringify(key))}:`,
  hasVersions: false,
  path,
  children: new Map(),
  leaf: undefined,
  seen: 0,
})

const overlapping = (path: string): ConfigError =>
  new ConfigError('two paths lead to the same place', {
    where: `path ${path}`,
    expected: 'each member named once, and none inside another',
  })
