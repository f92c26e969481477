/** Which software ran: recorded when a transcript is opened and when it is taken up again. */
import { readFileSync } from 'node:fs'

const manifest = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { version: string }

/** Versions of keyrite and of Node.js. */
export const SOFTWARE = { keyrite: manifest.version, node: process.versions.node }
