/** Opens a store by where it is: a directory, or a PostgreSQL database. */
import { fileURLToPath } from 'node:url'

import { ConfigError } from '../errors.ts'
import type { EmbeddingStore, StoreFault } from './store.ts'
import { openEmbeddedStore } from './embedded-store.ts'

/** What both stores understand. */
export interface OpenStoreOptions {
  /** Make the store if there is none. */
  readonly create?: boolean | undefined
  /** Never write. */
  readonly readOnly?: boolean | undefined
  /** A directory only: called with what was put right after a crash, and the like. */
  readonly onNotice?: ((what: StoreFault) => void) | undefined
}

// Two letters at least, so that `C:` of a Windows path is none.
const SCHEME = /^([a-z][a-z0-9+.-]+):/i

const noLocation = (): ConfigError =>
  new ConfigError('the store has no location', {
    expected: 'a postgres:// URL or the path of a directory',
  })

/**
 * @param location - `postgres://` or `postgresql://` URL, `file://` URL, or the path of a directory
 * @throws ConfigError for another scheme; what the store throws. No error holds a password.
 */
export async function openStore(
  location: string,
  options: OpenStoreOptions = {},
): Promise<EmbeddingStore> {
  // Callers without types, e.g. with a variable that is not set.
  if (typeof location !== 'string') throw noLocation()
  const scheme = SCHEME.exec(location)?.[1]?.toLowerCase()
  if (scheme === 'postgres' || scheme === 'postgresql') {
    // pg is an optional dependency, loaded only by who asks for it.
    const { openPostgresStore } = await import('./postgres.ts')
    return openPostgresStore(location, options)
  }
  if (scheme === 'file') return openEmbeddedStore(pathOf(location), options)
  // A path may hold a colon, but not before two slashes.
  if (scheme !== undefined && location.startsWith('//', scheme.length + 1)) {
    throw new ConfigError('there is no store of this kind', {
      where: `${scheme}://`,
      expected: 'postgres://, postgresql://, file:// or the path of a directory',
    })
  }
  if (location === '' || location.includes('\0')) {
    throw noLocation()
  }
  return openEmbeddedStore(location, options)
}

function pathOf(location: string): string {
  try {
    return fileURLToPath(location)
  } catch {
    throw new ConfigError('the file URL names no path of this machine', {
      where: 'file://',
      expected: 'file:///path/of/the/directory',
    })
  }
}
