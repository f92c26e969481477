import { afterAll } from 'vitest'

import { openPostgresStore } from '../../src/he/postgres.ts'
import { startPostgres } from './postgres-server.ts'
import { storeConformance } from './store-conformance.ts'

const server = await startPostgres()
afterAll(() => server[Symbol.asyncDispose]())

const url = await server.createDatabase()
let stores = 0

storeConformance('PostgreSQL', async () => {
  // A schema each: cheaper than a database, and shows that they do not touch each other.
  const schema = `store_${++stores}`
  return {
    store: await openPostgresStore(url, { create: true, schema, partitions: 4 }),
    reopen: () => openPostgresStore(url, { schema }),
    cleanup: async () => {},
  }
})
