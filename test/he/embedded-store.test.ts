import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { openEmbeddedStore } from '../../src/he/embedded-store.ts'
import { storeConformance } from './store-conformance.ts'

for (const [name, segmentBytes] of [
  ['embedded', undefined],
  // So small that segments are rolled, emptied and removed all the time.
  ['embedded, tiny segments', 3000],
] as const) {
  storeConformance(name, async () => {
    const root = mkdtempSync(join(tmpdir(), 'keyrite-store-'))
    const directory = join(root, 'store')
    const options = segmentBytes === undefined ? {} : { segmentBytes }
    return {
      store: await openEmbeddedStore(directory, { create: true, ...options }),
      reopen: () => openEmbeddedStore(directory, options),
      cleanup: () => {
        rmSync(root, { recursive: true, force: true })
        return Promise.resolve()
      },
    }
  })
}
