/** The physical limit of rounds in software: OpenSSL's own measurement of its AES, on the same core. */
import { execFileSync } from 'node:child_process'

/** AES-256-ECB blocks per second in calls of 16 KiB, as `openssl speed` measures them. */
export function opensslBlocksPerSecond(): number {
  const args = ['speed', '-mr', '-seconds', '1', '-bytes', '16384', '-evp', 'aes-256-ecb']
  const printed = execFileSync('openssl', args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const found = /^\+F:.*:([\d.]+)$/m.exec(printed)
  if (found === null) throw new Error('openssl speed printed something else')
  return Number(found[1]) / 16
}
