/** What the process does for itself before any secret can be in its memory. */
import { writeFileSync } from 'node:fs'

/**
 * Core files of this process and its children hold no memory (core(5), /proc/PID/coredump_filter: no
 * mapping is dumped). Needs no privilege and works with pipes to crash collectors too, which do not ask
 * for RLIMIT_CORE. Where there is no such file (not Linux) the system's own limit stands.
 */
export function emptyCoreFiles(): void {
  try {
    writeFileSync('/proc/self/coredump_filter', '0')
  } catch {
    return
  }
}
