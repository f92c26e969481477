/**
 * Child process of `native-threads.test.ts`: several workers open the module at once, the main
 * thread never does. Prints how many of them took part.
 */
import { once } from 'node:events'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'

const [module, label] = process.argv.slice(2)
const file = join(import.meta.dirname, 'thread-worker.ts')
let reports = 0
for (let round = 0; round < 3; round++) {
  const workers = Array.from(
    { length: 4 },
    () => new Worker(file, { workerData: { module, label, job: 'open' } }),
  )
  await Promise.all(
    workers.map(async (worker) => {
      const exit = once(worker, 'exit')
      await once(worker, 'message')
      reports += 1
      await exit
    }),
  )
}
process.stdout.write(String(reports))
