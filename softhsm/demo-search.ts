/** The part of the demo that searches: real vectors of a documentation, encrypted under a seed from a ceremony. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

import { type Ledger, rehearse } from '../src/ceremony/index.ts'
import { loadModule } from '../src/pkcs11/index.ts'
import { entriesOf, ledgerOf, userPin } from '../test/ceremony/cast-pin.ts'
import { clock, random } from '../test/ceremony/ports.ts'
import { type Page, documentationPages, nearest } from '../test/he/embeddings-data.ts'
import { softHsm } from '../test/tokens.ts'
import { ROOT, heading, keyrite, print, stop } from './demo-run.ts'

const QUESTION = 'Analytical Chart (List Report - Page Editor)'
const HITS = 5
const RECALL_AT = 10

interface Hit {
  readonly id: string
  readonly score: number
  readonly metadata?: { readonly title: string }
}
interface Found {
  readonly results: readonly { readonly hits: readonly Hit[] }[]
  readonly timings: readonly Readonly<
    Record<'encryptMs' | 'scanMs' | 'decryptMs' | 'rerankMs' | 'blocks', number>
  >[]
}

/** Part of the nearest pages by plaintext search that the encrypted search found for the same queries. */
function recallOf(found: Found, queries: readonly Page[], pages: readonly Page[]): number {
  const rows = pages.map(({ vector }) => vector)
  let right = 0
  for (const [at, { vector }] of queries.entries()) {
    const ids = new Set(found.results[at]?.hits.map(({ id }) => id))
    const wanted = nearest(rows, vector, RECALL_AT).map((row) => pages[row]?.id ?? '')
    right += wanted.filter((id) => ids.has(id)).length
  }
  return right / (RECALL_AT * queries.length)
}

/** Makes the seed in a ceremony, encrypts the pages, asks for the ones like a page, and measures the recall. */
export async function searchDemo(scratch: string): Promise<void> {
  const softhsm = softHsm()
  process.on('exit', () => softhsm.cleanup())
  const workDir = join(scratch, 'search')
  mkdirSync(workDir)

  heading('6. A seed for encrypted search: ceremonies/generate-embedding-key.yaml')
  let ledger: Ledger
  {
    await using hsm = await loadModule(softhsm.module)
    const plans = [join(ROOT, 'ceremonies', 'generate-embedding-key.yaml')]
    const done = await rehearse({ plans, workDir, hsm, clock, random, filesOnly: true })
    const last = done.at(-1)?.outcome
    if (last === undefined || last.error !== undefined) stop('the ceremony did not complete')
    ledger = ledgerOf(entriesOf(last.dir))
    print(
      `rehearsed: ${done.map(({ outcome }) => outcome.dir.slice(workDir.length + 1)).join(', ')}`,
    )
  }
  const login = `${Buffer.from(await userPin(workDir, ledger, 'vault')).toString('ascii')}\n`
  print('the PIN of the token, from the shares of two custodians, goes to file descriptor 0')
  const seed = join(
    workDir,
    'generate-embedding-key',
    'artefacts',
    'wrapped',
    'embeddings-epoch-1.json',
  )

  heading('7. Encrypt 778 pages of a real documentation (all-MiniLM-L6-v2, 384 dimensions)')
  const pages = documentationPages()
  const data = createRequire(import.meta.url).resolve(
    '@sap-ux/fiori-docs-embeddings/data/embeddings/embeddings.bin',
  )
  const records = join(workDir, 'records.jsonl')
  writeFileSync(
    records,
    pages.map(({ id, title }) => `${JSON.stringify({ id, title })}\n`).join(''),
  )
  const store = join(workDir, 'vectors')
  const keys = ['--seed', seed, '--module', softhsm.module, '--login-fd', '0']
  const shorten = (text: string): string =>
    text
      .replaceAll(`${dirname(data)}/`, '')
      .replaceAll(`${dirname(seed)}/`, '')
      .replaceAll(`${workDir}/`, '')
  const embeddings = (action: string, rest: readonly string[], quiet = true): string => {
    const args = ['embeddings', action, 'docs', ...rest, '--store', store]
    const withKeys = action === 'state' ? args : [...args, ...keys]
    const shown = shorten(`npx keyrite ${withKeys.join(' ')}`)
    return keyrite(withKeys, { shown, input: action === 'state' ? '' : login, quiet }).stdout
  }
  embeddings('create', ['--dimensions', '384'], false)
  embeddings('import', ['--in', data, '--format', 'float32', '--records', records], false)

  heading('8. Search: the query is encrypted, every vector is compared, two integers decide')
  const question = pages.find(({ title }) => title === QUESTION) ?? stop('no such page')
  embeddings('delete', [question.id], false)
  const queries = join(workDir, 'question.json')
  writeFileSync(queries, JSON.stringify([...question.vector]))
  const options = ['--with-metadata', '--timings', '--json']
  const answer = JSON.parse(
    embeddings('search', ['--query', queries, '-k', String(HITS), ...options]),
  ) as Found
  print(
    `\nQuestion: which pages are like \u201c${question.title}\u201d? (The page itself was deleted.)`,
  )
  for (const { score, metadata } of answer.results[0]?.hits ?? []) {
    print(`  ${score.toFixed(4)}  ${metadata?.title.split('\n')[0] ?? ''}`)
  }
  const [timing] = answer.timings
  if (timing === undefined) stop('no timings')
  print(
    `\nquery encrypted ${timing.encryptMs.toFixed(1)} ms, ${timing.blocks} blocks read and scanned ` +
      `${timing.scanMs.toFixed(1)} ms, scores decrypted ${timing.decryptMs.toFixed(1)} ms, ` +
      `ranked exactly ${timing.rerankMs.toFixed(1)} ms`,
  )

  const left = pages.filter(({ id }) => id !== question.id)
  const many = left.slice(0, 96)
  writeFileSync(queries, many.map(({ vector }) => `${JSON.stringify([...vector])}\n`).join(''))
  const all = JSON.parse(
    embeddings('search', ['--query', queries, '-k', String(RECALL_AT), '--timings', '--json']),
  ) as Found
  const recall = recallOf(all, many, left)
  print(
    `recall@${RECALL_AT} of ${many.length} queries against a search in clear: ${recall.toFixed(4)}`,
  )
  if (recall < 0.999) stop('the recall is below 0.999')
  const state = JSON.parse(embeddings('state', ['--json'])) as Readonly<
    Record<'blockBytes' | 'records' | 'tail', number>
  >
  const each = state.blockBytes / (state.records - state.tail)
  const float32 = question.vector.length * Float32Array.BYTES_PER_ELEMENT
  print(
    `bytes per vector: ${each.toFixed(0)} of ciphertext, ${(each / float32).toFixed(2)} times float32 ` +
      `(${float32}); beside it the vector itself, sealed with AES-256-GCM`,
  )
}
