/** What a writer does that meets a newer epoch than the one it has encrypted under. */
import { EmbeddingError } from '../errors.ts'

/** Rotations that may begin while one change is made. */
const TRIES = 4

/**
 * Does `work`, which reads the collection's epochs first, and again when a rotation has begun since it read
 * them: stores refuse what is not of the newest epoch.
 */
export async function againWhenOutdated<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      const outdated = error instanceof EmbeddingError && error.code === 'EPOCH_OUTDATED'
      if (!outdated || tries >= TRIES) throw error
    }
  }
}
