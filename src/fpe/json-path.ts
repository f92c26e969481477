/** Which members of a JSON object are meant: dotted paths (`card.pan`) and JSON Pointers (RFC 6901, `/card/pan`). */
import { ConfigError } from '../errors.ts'

/** A member that is looked for, or an object on the way to one. */
export interface PathNode {
  readonly key: string
  /** As the plan names it; the shortest one for an object on the way. */
  readonly path: string
  readonly children: Map<string, PathNode>
  /** Index in the plan; undefined: an object on the way. */
  leaf: { readonly kind: 'value' | 'version'; readonly index: number } | undefined
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
export function pathTree(
  fields: readonly (string | number)[],
  versionFields: readonly (string | number)[],
): PathNode {
  const root: PathNode = { key: '', path: '', children: new Map(), leaf: undefined }
  const add = (path: string, kind: 'value' | 'version', index: number): void => {
    let node = root
    for (const key of parsePath(path)) {
      if (node.leaf !== undefined) throw overlapping(path)
      const child = node.children.get(key) ?? { key, path, children: new Map(), leaf: undefined }
      node.children.set(key, child)
      node = child
    }
    if (node.leaf !== undefined || node.children.size > 0) throw overlapping(path)
    node.leaf = { kind, index }
  }
  for (const [index, path] of fields.entries()) add(String(path), 'value', index)
  for (const [index, path] of versionFields.entries()) add(String(path), 'version', index)
  return root
}

const overlapping = (path: string): ConfigError =>
  new ConfigError('two paths lead to the same place', {
    where: `path ${path}`,
    expected: 'each member named once, and none inside another',
  })
