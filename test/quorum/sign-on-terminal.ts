/** Signs standard text with a key file on the terminal it runs on. argv: KEYFILE OUTPUT */
import { writeFileSync } from 'node:fs'

import { utf8 } from '../../src/bytes.ts'
import { keyFileSigner } from '../../src/quorum/index.ts'

const [keyFile = '', output = ''] = process.argv.slice(2)
const signer = keyFileSigner({ principal: 'alice@keyrite.example', keyFile })
writeFileSync(output, await signer.sign('keyrite-approval', utf8('on a terminal')))
