/** Watches a running ceremony from outside: every process's arguments and environment, every share file. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** What was seen; stops when disposed. */
export interface Watch extends Disposable {
  /** `/proc/PID/cmdline` and `/proc/PID/environ` of every process, each distinct content once. */
  readonly processes: ReadonlySet<string>
  /** Command names seen, to show that the watching worked. */
  readonly names: ReadonlySet<string>
  /** Directory the share files were copied to. */
  readonly shares: string
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

/** Samples until disposed. `media` are directories of share files, which ceremonies replace. */
export function watch(media: readonly string[], copies: string): Watch {
  const processes = new Set<string>()
  const names = new Set<string>()
  mkdirSync(copies, { recursive: true })
  const sample = (): void => {
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid) || pid === String(process.pid)) continue
      const cmdline = read(`/proc/${pid}/cmdline`)
      if (cmdline === '') continue
      processes.add(cmdline)
      processes.add(read(`/proc/${pid}/environ`))
      names.add(cmdline.split('\0')[0]?.split('/').at(-1) ?? '')
    }
    for (const medium of media) {
      if (!existsSync(medium)) continue
      for (const name of readdirSync(medium)) {
        const copy = join(copies, name)
        if (!name.endsWith('.age') || existsSync(copy)) continue
        try {
          copyFileSync(join(medium, name), copy)
        } catch {
          continue
        }
      }
    }
  }
  const timer = setInterval(sample, 15)
  return { processes, names, shares: copies, [Symbol.dispose]: () => clearInterval(timer) }
}
