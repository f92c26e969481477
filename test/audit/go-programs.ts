/** Builds and runs the Go programs of the tests, from Debian's Go packages and without a network. */
import { execFileSync, spawnSync } from 'node:child_process'
import { basename, join, resolve } from 'node:path'

const GOPATH = '/usr/share/gocode'

/** Builds a Go file, named relative to this one, into a directory and returns the binary's path. */
export function buildGo(source: string, scratchDir: string): string {
  const binary = join(scratchDir, basename(source, '.go'))
  execFileSync('go', ['build', '-o', binary, resolve(import.meta.dirname, source)], {
    cwd: scratchDir,
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
