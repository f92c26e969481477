/**
 * What a power loss may leave of a directory, from the calls that were made on it (`power-loss-record.ts`).
 * The model is that of file systems with a page cache, as in Pillai et al., "All File Systems Are Not
 * Created Equal" (OSDI 2014): of a file, what was there at its last fsync; each sector written since is
 * as it was then or at any time after; the length likewise, with zeros where nothing was written back.
 * Of a directory, the names at its last fsync; changes since are there in order up to any point, or per
 * name up to any point. A file has what it has, whatever name it goes by: fsync of a file keeps no name.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import type { Call } from './power-loss-record.ts'

/** Unit in which a disk writes. */
const SECTOR = 512
/** Unit in which the kernel writes back, and what it forgets when that fails. */
const PAGE = 4096
const O_CREAT = 0o100
const O_TRUNC = 0o1000

/** Whole numbers below a bound. */
export type Roll = (below: number) => number

type Bytes = Uint8Array<ArrayBuffer>
type FileChange = { readonly at: number; readonly data: Uint8Array } | { readonly length: number }

interface File {
  /** What is safe. */
  kept: Bytes
  /** What the process sees. */
  seen: Bytes
  /** Changes since the last fsync. */
  pending: FileChange[]
  /** Pages that an fsync failed to write, with what the disk has; gone when they are written again. */
  lost: Map<number, Uint8Array>
}
type NameChange =
  | { readonly name: string; readonly file: File }
  | { readonly name: string; readonly file: undefined }
  | { readonly name: string; readonly to: string; readonly file: File }

interface Directory {
  kept: Map<string, File>
  seen: Map<string, File>
  pending: NameChange[]
}

/** How much of what is not safe is there. */
const MODES = [
  'nothing',
  'all',
  'length',
  'prefix',
  'sectors',
  'pages',
  'all but one',
  'one',
] as const
const NAMES = ['nothing', 'all', 'order', 'names'] as const

function changed(bytes: Bytes, change: FileChange): Bytes {
  if ('length' in change) {
    const cut = new Uint8Array(change.length)
    cut.set(bytes.subarray(0, change.length))
    return cut
  }
  const end = change.at + change.data.length
  let grown = bytes
  if (end > bytes.length) {
    grown = new Uint8Array(end)
    grown.set(bytes)
  }
  grown.set(change.data, change.at)
  return grown
}

const span = (change: FileChange, before: number, after: number): [from: number, to: number] =>
  'length' in change
    ? [Math.min(change.length, before), Math.max(before, after)]
    : // A gap that a write leaves is zeros, which are written as well.
      [Math.min(change.at, before), change.at + change.data.length]

/** One content that a file may have. */
function contentOf(file: File, mode: (typeof MODES)[number], roll: Roll): Bytes {
  const { pending } = file
  const versions = [file.kept.slice()]
  for (const change of pending) versions.push(changed(versions.at(-1)!.slice(), change))
  if (mode === 'nothing' || pending.length === 0) return patched(file, versions[0]!)
  const last = versions.length - 1
  const unit = mode === 'pages' ? PAGE : SECTOR
  const longest = Math.max(...versions.map(({ length }) => length))
  const units = Math.ceil(longest / unit)
  // Units that differ between first and last; the choice among others would change nothing.
  const dirty = new Set<number>()
  for (const [index, change] of pending.entries()) {
    const [from, to] = span(change, versions[index]!.length, versions[index + 1]!.length)
    for (let at = Math.floor(from / unit); at * unit < to; at += 1) dirty.add(at)
  }
  const chosen = [...dirty][roll(dirty.size)]
  const point = roll(last + 1)
  const pick = (at: number): number => {
    if (mode === 'all') return last
    if (mode === 'length') return 0
    if (mode === 'prefix') return point
    if (mode === 'all but one') return at === chosen ? 0 : last
    if (mode === 'one') return at === chosen ? last : 0
    return roll(3) === 0 ? roll(last + 1) : roll(2) * last
  }
  const size = (): number => {
    if (mode === 'prefix') return versions[point]!.length
    if (mode === 'sectors' || mode === 'pages') {
      return versions[roll(2) === 0 ? last : roll(last + 1)]!.length
    }
    return versions[last]!.length
  }
  const content = new Uint8Array(size())
  for (let at = 0; at < units; at += 1) {
    const from = at * unit
    if (from >= content.length) break
    const version = versions[dirty.has(at) ? pick(at) : 0]!
    content.set(version.subarray(from, Math.min(from + unit, content.length)), from)
  }
  return patched(file, content)
}

function patched({ lost }: File, content: Bytes): Bytes {
  for (const [page, bytes] of lost) {
    const from = page * PAGE
    if (from >= content.length) continue
    const end = Math.min(from + PAGE, content.length)
    content.fill(0, from, end)
    content.set(bytes.subarray(0, end - from), from)
  }
  return content
}

/** Names that a directory may have: with changes in order up to a point, or per name up to a point. */
function namesOf(
  { kept, pending }: Directory,
  mode: (typeof NAMES)[number],
  roll: Roll,
): Map<string, File> {
  const names = new Map(kept)
  const stuck = new Set<string>()
  const point = { nothing: 0, all: pending.length, names: pending.length }
  const end = mode === 'order' ? roll(pending.length + 1) : point[mode]
  for (const change of pending.slice(0, end)) {
    const touched = 'to' in change ? [change.name, change.to] : [change.name]
    const skip = touched.some((name) => stuck.has(name)) || (mode === 'names' && roll(2) === 0)
    if (skip) for (const name of touched) stuck.add(name)
    else applyName(names, change)
  }
  return names
}

function applyName(names: Map<string, File>, change: NameChange): void {
  if ('to' in change) {
    names.delete(change.name)
    names.set(change.to, change.file)
  } else if (change.file === undefined) names.delete(change.name)
  else names.set(change.name, change.file)
}

/** The files of a state, by path. A directory has a path that ends in a slash. */
export type State = ReadonlyMap<string, Uint8Array>

/** A disk that is told the calls in order. */
export function createDisk(initial: State = new Map()) {
  const directories = new Map<string, Directory>()
  const open = new Map<number, File | Directory>()
  /** Directories are entries of their parents like files; this says which. */
  const entries = new Map<string, File>()
  const empty = (kept: Bytes = new Uint8Array()): File => ({
    kept,
    seen: kept.slice(),
    pending: [],
    lost: new Map(),
  })
  const directoryAt = (path: string): Directory => {
    const known = directories.get(path)
    if (known !== undefined) return known
    const made = { kept: new Map<string, File>(), seen: new Map<string, File>(), pending: [] }
    directories.set(path, made)
    return made
  }
  const place = (path: string) => {
    const cut = path.lastIndexOf('/')
    return { parent: directoryAt(path.slice(0, Math.max(cut, 0))), name: path.slice(cut + 1) }
  }
  const note = (path: string, change: (name: string, old: File | undefined) => NameChange) => {
    const { parent, name } = place(path)
    const done = change(name, parent.seen.get(name))
    applyName(parent.seen, done)
    parent.pending.push(done)
  }
  const write = (file: File, change: FileChange): void => {
    const before = file.seen.length
    file.seen = changed(file.seen, change)
    file.pending.push(change)
    const [from, to] = span(change, before, file.seen.length)
    for (let page = Math.floor(from / PAGE); page * PAGE < to; page += 1) file.lost.delete(page)
  }
  const fileOf = (fd: number): File => {
    const file = open.get(fd)
    if (file === undefined || !('lost' in file)) throw new TypeError('a write to no file')
    return file
  }
  const makeDirectory = (path: string): void => {
    const entry = empty()
    entries.set(path, entry)
    directoryAt(path)
    note(path, (name) => ({ name, file: entry }))
  }

  directoryAt('')
  for (const [path, bytes] of initial) {
    const { parent, name } = place(path.replace(/\/$/, ''))
    const file = empty(new Uint8Array(bytes))
    if (path.endsWith('/')) {
      entries.set(path.slice(0, -1), file)
      directoryAt(path.slice(0, -1))
    }
    parent.kept.set(name, file)
    parent.seen.set(name, file)
  }

  function tell(call: Call): void {
    const { path } = call
    if (call.is === 'open') {
      if (directories.has(path)) {
        open.set(call.fd, directoryAt(path))
        return
      }
      const { parent, name } = place(path)
      let file = parent.seen.get(name)
      if (file === undefined) {
        if ((call.at & O_CREAT) === 0) throw new TypeError(`opened and never made: ${path}`)
        const made = empty()
        file = made
        note(path, () => ({ name, file: made }))
      }
      open.set(call.fd, file)
      if ((call.at & O_TRUNC) !== 0 && file.seen.length > 0) write(file, { length: 0 })
    } else if (call.is === 'close') open.delete(call.fd)
    else if (call.is === 'write') write(fileOf(call.fd), { at: call.at, data: call.data })
    else if (call.is === 'truncate') write(fileOf(call.fd), { length: call.at })
    else if (call.is === 'sync') {
      const target = open.get(call.fd)
      if (target === undefined) throw new TypeError('a sync of no file')
      if ('lost' in target) target.kept = patched(target, target.seen.slice())
      else target.kept = new Map(target.seen)
      target.pending = []
    } else if (call.is === 'sync failed') {
      const file = open.get(call.fd)
      if (file === undefined || !('lost' in file)) return
      // The pages are clean now, and nothing says that the disk has them.
      for (let page = 0; page * PAGE < file.seen.length; page += 1) {
        const [from, end] = [page * PAGE, (page + 1) * PAGE]
        const old = file.kept.slice(from, end)
        if (Buffer.compare(old, file.seen.subarray(from, end)) !== 0) file.lost.set(page, old)
      }
    } else if (call.is === 'unlink') note(path, (name) => ({ name, file: undefined }))
    else if (call.is === 'mkdir') makeDirectory(path)
    else if (call.is === 'link') {
      const file = place(path).parent.seen.get(place(path).name)
      if (file === undefined) throw new TypeError(`linked and not there: ${path}`)
      note(call.other, (name) => ({ name, file }))
    } else if (call.is === 'rename') {
      if (dirname(path) !== dirname(call.other)) throw new TypeError('moved between directories')
      const to = place(call.other).name
      note(path, (name, file) => ({ name, to, file: file ?? empty() }))
    }
  }

  function stateOf(
    names: (directory: Directory) => Map<string, File>,
    content: (file: File, path: string) => Uint8Array,
  ): State {
    const state = new Map<string, Uint8Array>()
    const walk = (path: string): void => {
      for (const [name, file] of names(directoryAt(path))) {
        const full = path === '' ? name : `${path}/${name}`
        if (entries.get(full) === file) {
          state.set(`${full}/`, new Uint8Array())
          walk(full)
        } else state.set(full, content(file, full))
      }
    }
    walk('')
    return state
  }

  return {
    tell,
    /** What the process sees. */
    now: (): State =>
      stateOf(
        ({ seen }) => seen,
        ({ seen }) => seen,
      ),
    /** One state that a power loss now may leave. */
    lose: (roll: Roll): State =>
      stateOf(
        (directory) => namesOf(directory, NAMES[roll(NAMES.length)]!, roll),
        (file) => contentOf(file, MODES[roll(MODES.length)]!, roll),
      ),
  }
}

/** Writes a state into an empty directory. */
export function writeState(directory: string, state: State): void {
  for (const [path, bytes] of state) {
    if (path.endsWith('/')) mkdirSync(join(directory, path), { mode: 0o700 })
    else writeFileSync(join(directory, path), bytes, { mode: 0o600 })
  }
}
