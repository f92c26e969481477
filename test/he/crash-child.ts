/**
 * Works on a collection until it is done or killed; says on standard output what is durable. The seeds
 * (32 bytes each, epoch 1 first) come on standard input.
 */
import { createKeyHolder } from '../../src/he/key-holder.ts'
import { openEmbeddedStore } from '../../src/he/embedded-store.ts'
import { clustered } from './embeddings-data.ts'

const [, , action = '', directory = '', count = ''] = process.argv
const seeds: Buffer[] = []
for await (const bytes of process.stdin) seeds.push(bytes as Buffer)
const all = Buffer.concat(seeds)
await using store = await openEmbeddedStore(directory)
await using holder = await createKeyHolder({
  seeds: Array.from({ length: all.length / 32 }, (_, at) => ({
    epoch: at + 1,
    seed: all.subarray(at * 32, at * 32 + 32),
  })),
})
const onProgress = (done: number) => process.stdout.write(`${done}\n`)
process.stdout.write('ready\n')
if (action === 'import') {
  const rows = clustered(Number(count), 16, { seed: 11 })
  await using ingest = await holder.ingest(store, 'crash')
  await ingest.insert(
    rows.values().map((vector, at) => ({ id: `v${at}`, vector })),
    { onProgress },
  )
} else if (action === 'compact') await holder.compact(store, 'crash', { onProgress })
else if (action === 'rotate') await holder.rotate(store, 'crash', { onProgress })
else throw new Error(`no such action: ${action}`)
process.stdout.write('complete\n')
