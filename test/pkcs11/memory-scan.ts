/** Looks for byte strings in the memory of another process of this user (Linux). */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

const CHUNK = 1 << 22

/** Writable mappings of which something is in memory or in swap. */
function residentRegions(pid: number) {
  const entry =
    /^([0-9a-f]+)-([0-9a-f]+) rw.. .*\n(?:[A-Z][^\n]*\n)*?Rss: +(\d+) kB\n(?:[A-Z][^\n]*\n)*?Swap: +(\d+) kB$/gm
  return [...readFileSync(`/proc/${pid}/smaps`, 'utf8').matchAll(entry)]
    .filter(([, , , rss, swap]) => rss !== '0' || swap !== '0')
    .map(([, start, end]) => ({ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`) }))
}

/** In how many places of the process's writable memory each secret is, in any of its forms. */
export function copies<Secret extends string>(
  pid: number,
  secrets: Readonly<Record<Secret, readonly Buffer[]>>,
): Record<Secret, number> {
  const names = Object.keys(secrets) as Secret[]
  const found = Object.fromEntries(names.map((name) => [name, new Set<bigint>()])) as Record<
    Secret,
    Set<bigint>
  >
  const overlap = Math.max(
    ...Object.values<readonly Buffer[]>(secrets)
      .flat()
      .map((n) => n.length),
  )
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  const buffer = Buffer.alloc(CHUNK)
  try {
    for (const { start, end } of residentRegions(pid)) {
      for (let at = start; at < end; at += BigInt(CHUNK - overlap)) {
        const length = Number(end - at < BigInt(CHUNK) ? end - at : BigInt(CHUNK))
        let bytes: Buffer
        try {
          bytes = buffer.subarray(0, readSync(memory, buffer, 0, length, at))
        } catch {
          break // a mapping that has gone
        }
        for (const name of names) {
          for (const needle of secrets[name]) {
            for (let hit = bytes.indexOf(needle); hit >= 0; hit = bytes.indexOf(needle, hit + 1)) {
              found[name].add(at + BigInt(hit))
            }
          }
        }
      }
    }
  } finally {
    closeSync(memory)
  }
  return Object.fromEntries(names.map((name) => [name, found[name].size])) as Record<Secret, number>
}

/** Whether the file holds one of the needles. */
export function fileHolds(path: string, needles: readonly Buffer[]): boolean {
  const overlap = Math.max(...needles.map((needle) => needle.length))
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(CHUNK)
    for (let at = 0; ; at += CHUNK - overlap) {
      const got = readSync(file, bytes, 0, CHUNK, at)
      if (needles.some((needle) => bytes.subarray(0, got).includes(needle))) return true
      if (got < CHUNK) return false
    }
  } finally {
    closeSync(file)
  }
}

/** The forms a 64-digit hex PIN may take: as sent, UTF-16, the bytes it stands for, hex of itself. */
export const formsOf = (pin: Uint8Array): Buffer[] => {
  const text = Buffer.from(pin).toString('ascii')
  return [
    Buffer.from(text, 'ascii'),
    Buffer.from(text, 'utf16le'),
    Buffer.from(text, 'hex'),
    Buffer.from(Buffer.from(text, 'ascii').toString('hex'), 'ascii'),
  ]
}
