/** Rows of scan workers over PostgreSQL: processes of one thread each, against one of them and against none. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'

import {
  type Scorer,
  createKeyHolder,
  createScorer,
  openStore,
  queueScorer,
} from '../../src/he/index.ts'
import { clustered } from '../he/embeddings-data.ts'
import { startPostgres } from '../he/postgres-server.ts'
import { type Row, row } from './rows.ts'
import { bestTimes } from './times.ts'

const NAME = 'bench'
const VECTORS = 10_000
const DIMENSIONS = 768
const ROUNDS = 9
const PROGRAM = join(import.meta.dirname, '..', 'he', 'scan-worker-process.ts')

/** A worker that has said that it is ready. */
async function startWorker(url: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [PROGRAM, 'keyrite', '10000', '0'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.stdin.end(url)
  await once(child.stdout, 'data')
  child.stdout.resume()
  return child
}

/** Whole searches: their scan is done by one thread here, by one worker process, by two. */
export async function workerRows(): Promise<Row[]> {
  await using server = await startPostgres()
  const url = await server.createDatabase()
  await using store = await openStore(url, { create: true })
  await using holder = await createKeyHolder({ seeds: [{ epoch: 1, seed: randomBytes(32) }] })
  const vectors = clustered(VECTORS, DIMENSIONS)
  await holder.createCollection(store, { name: NAME, dimensions: DIMENSIONS })
  await using ingest = await holder.ingest(store, NAME)
  await ingest.insert(vectors.map((vector, at) => ({ id: `v${at}`, vector })))

  let at = 0
  const times = async (scorer: Scorer): Promise<number> => {
    const search = async (): Promise<void> => {
      const [best] = await holder.search(scorer, NAME, vectors[at]!, { k: 1 })
      if (best?.id !== `v${at}`) throw new Error('a worker\u2019s scores are wrong')
      at = (at + 101) % VECTORS
    }
    const [best] = await bestTimes(ROUNDS, search)
    return best ?? Number.NaN
  }
  await using local = createScorer({ store, threads: 1 })
  await using queue = await queueScorer({ url })
  const children: ChildProcess[] = []
  try {
    const alone = await times(local)
    children.push(await startWorker(url))
    const one = await times(queue)
    children.push(await startWorker(url))
    const two = await times(queue)
    return [
      row(
        'workers-10k-768-1-vs-in-process',
        one,
        'ms',
        alone,
        'the search with a scorer in process',
      ),
      row('workers-10k-768-2-vs-1', two, 'ms', one, 'the search with one worker'),
    ]
  } finally {
    for (const child of children) {
      child.kill('SIGTERM')
      await once(child, 'close')
    }
  }
}
