/** Builds and runs the Go programs beside this file, from Debian's Go packages and without a network. */
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'

const GOPATH = '/usr/share/gocode'

/** Builds `test/audit/<name>/main.go` into a directory and returns the binary's path. */
export function buildGo(name: string, scratchDir: string): string {
  const binary = join(scratchDir, name)
  execFileSync('go', ['build', '-o', binary, 'main.go'], {
    cwd: join(import.meta.dirname, name),
    env: {
      PATH: process.env['PATH'],
      HOME: scratchDir,
      GO111MODULE: 'off',
      GOPATH,
      GOFLAGS: '',
      GOPROXY: 'off',
      GOCACHE: join(scratchDir, 'go-cache'),
    },
  })
  return binary
}

/** Runs a program; `accepted` is its exit code 0. */
export function runGo(binary: string, args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(binary, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
  return { accepted: status === 0, output: stdout + stderr }
}
