// Compiles the Node-API addon. Uses the headers shipped inside the `node` dev dependency when it is
// installed (no download, works air-gapped), else whatever node-gyp is configured to use.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const candidates = [
  process.execPath && join(dirname(process.execPath), '..'),
  join(
    here,
    '..',
    'node_modules',
    'node',
    'node_modules',
    `node-${process.platform}-${process.arch}`,
  ),
]
const nodedir = candidates.find((dir) => dir && existsSync(join(dir, 'include/node/node_api.h')))
const args = ['rebuild', '-C', here, '--jobs', 'max', ...(nodedir ? [`--nodedir=${nodedir}`] : [])]
// node-gyp prefers this variable, which a user's npmrc may set, over its own argument.
const env = { ...process.env, ...(nodedir ? { npm_config_nodedir: nodedir } : {}) }
const { status, error } = spawnSync('node-gyp', args, { stdio: 'inherit', env })
if (error) {
  console.error(
    `keyrite: could not start node-gyp (${error.message}); run this through npm: npm rebuild`,
  )
}
process.exit(status ?? 1)
