/** A built copy of what a user gets from a clone, so that checks never write into this one. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'

/** The repository. */
export const ROOT = resolve(import.meta.dirname, '../..')

/** Paths that make the package, besides what is built. */
const PARTS = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'LICENSE',
  'README.md',
  'src',
  'bindings',
  'ceremonies',
  'softhsm',
]

const ADDON = 'bindings/build/Release/keyrite.node'

/** A copy with a fresh `dist/`. */
export interface Clone extends Disposable {
  readonly dir: string
  /** Environment of a user who has npm, a cache of their own, and `temporary` for temporary files. */
  env(temporary?: string): NodeJS.ProcessEnv
}

/** Copies and compiles; about five seconds. On disk, because tmpfs may forbid running native code. */
export function builtClone(): Clone {
  const scratch = mkdtempSync(join(tmpdir(), 'keyrite-clone-'))
  const dir = join(scratch, 'keyrite')
  for (const part of PARTS) {
    cpSync(join(ROOT, part), join(dir, part), {
      recursive: true,
      filter: (source) => basename(source) !== 'build',
    })
  }
  // The addon as it was compiled here; package.test.ts compiles it from the published sources.
  cpSync(join(ROOT, ADDON), join(dir, ADDON))
  symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'))
  const { status, stdout, stderr } = spawnSync('npm', ['run', '--silent', 'prepare'], {
    cwd: dir,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`the source does not compile:\n${stdout}${stderr}`)
  return {
    dir,
    env: (temporary = scratch) => ({
      ...process.env,
      npm_config_cache: join(scratch, 'npm-cache'),
      npm_config_update_notifier: 'false',
      npm_config_offline: 'true',
      // npx would compile the addon again before it runs a command of this package.
      npm_config_ignore_scripts: 'true',
      TMPDIR: temporary,
    }),
    [Symbol.dispose]: () => rmSync(scratch, { recursive: true, force: true }),
  }
}
