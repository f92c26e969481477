import { describe, expect, it } from 'vitest'

import { formatCheckpoint, parseCheckpoint } from '../../src/audit/index.ts'
import { fromBase64 } from '../../src/bytes.ts'
import { FormatError } from '../../src/errors.ts'

// The example of C2SP tlog-checkpoint, "Transparency Log Checkpoints".
const EXAMPLE =
  'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n'

describe('checkpoint body', () => {
  it('reads and writes the example of the specification', () => {
    const checkpoint = parseCheckpoint(EXAMPLE)
    expect(checkpoint).toEqual({
      origin: 'example.com/behind-the-sofa',
      size: 20852163,
      root: fromBase64('CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I='),
    })
    expect(formatCheckpoint(checkpoint)).toBe(EXAMPLE)
  })

  it.each([
    ['nothing', ''],
    ['no final newline', EXAMPLE.slice(0, -1)],
    ['an extension line', `${EXAMPLE}extension\n`],
    ['an empty last line', `${EXAMPLE}\n`],
    ['a carriage return', EXAMPLE.replace('\n', '\r\n')],
    ['no origin', EXAMPLE.replace('example.com/behind-the-sofa', '')],
    ['a space in the origin', EXAMPLE.replace('behind-the', 'behind the')],
    ['a plus sign in the origin', EXAMPLE.replace('behind-the', 'behind+the')],
    ['a leading zero', EXAMPLE.replace('20852163', '020852163')],
    ['a plus sign before the size', EXAMPLE.replace('20852163', '+20852163')],
    ['a negative size', EXAMPLE.replace('20852163', '-1')],
    ['a fraction', EXAMPLE.replace('20852163', '2.5')],
    ['an exponent', EXAMPLE.replace('20852163', '1e3')],
    ['a hexadecimal size', EXAMPLE.replace('20852163', '0x10')],
    ['an empty size', EXAMPLE.replace('20852163', '')],
    ['a size beyond 2^53', EXAMPLE.replace('20852163', '9007199254740993')],
    ['a short root', EXAMPLE.replace('CsUYapGG', '')],
    ['a root of other unused bits', EXAMPLE.replace('q2I=', 'q2J=')],
    ['a root without padding', EXAMPLE.replace('q2I=', 'q2I')],
    ['a root in base64url', EXAMPLE.replace('om/X', 'om_X')],
  ])('refuses %s', (_name, text) => {
    expect(() => parseCheckpoint(text)).toThrow(FormatError)
  })
})
