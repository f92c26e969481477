import { describe, expect, it } from 'vitest'

import * as keyrite from '../src/index.ts'
import {
  ConfigError,
  FormatError,
  EmbeddingError,
  FpeError,
  KeyriteError,
  Pkcs11Error,
  PolicyError,
  QuorumError,
  StorageError,
  TokenError,
  VerificationError,
} from '../src/errors.ts'

const detail = { where: 'w', expected: 'e', got: 'g', hint: 'h', cause: new Error('inner') }
const ckr = {
  rv: 'CKR_PIN_INCORRECT',
  ckr: 0xa0,
  fn: 'C_Login',
  category: 'auth',
  retry: 'never',
} as const

const samples: KeyriteError[] = [
  new Pkcs11Error(ckr, detail),
  new TokenError('KEY_NOT_FOUND', 'm', detail),
  new QuorumError('QUORUM_NOT_MET', 'm', { ...detail, have: 1, need: 2 }),
  new PolicyError('OUTPUT_EXISTS', 'LOG-CREATE-1', 'm', detail),
  new VerificationError('CHAIN_BROKEN', 'LOG-CHAIN-1', 'm', { ...detail, entry: 7 }),
  new FormatError('m', detail),
  new ConfigError('m', detail),
  new StorageError('LOCKED', 'm', detail),
  new FpeError('SYMBOL_INVALID', 'm', { ...detail, index: 7 }),
  new EmbeddingError('VECTOR_INVALID', 'm', { ...detail, index: 7 }),
]

describe('every error class', () => {
  it.each(samples.map((error) => [error.constructor.name, error] as const))(
    '%s carries its code, what, where, expected, got and hint',
    (name, error) => {
      expect(error).toBeInstanceOf(KeyriteError)
      expect(error).toBeInstanceOf(Error)
      expect(error.name).toBe(name)
      expect(error.cause).toBe(detail.cause)
      expect(error.toJSON()).toEqual({
        name,
        code: error.code,
        message: error.message,
        where: 'w',
        expected: 'e',
        got: 'g',
        hint: 'h',
      })
      expect(error.stack).toContain('errors.test.ts')
    },
  )

  it('leaves the cause and what is not there out of its JSON', () => {
    const error = new ConfigError('m', { cause: new Error('inner secret') })
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      name: 'ConfigError',
      code: 'CONFIG',
      message: 'm',
    })
    expect('cause' in new ConfigError('m')).toBe(false)
  })

  it('carries the fields of its kind', () => {
    expect(new Pkcs11Error(ckr)).toMatchObject({
      ...ckr,
      code: 'PKCS11',
      message: 'C_Login failed: CKR_PIN_INCORRECT',
    })
    const [, , quorum, policy, verification] = samples
    expect(quorum).toMatchObject({ have: 1, need: 2 })
    expect(policy).toMatchObject({ requirement: 'LOG-CREATE-1' })
    expect(verification).toMatchObject({ requirement: 'LOG-CHAIN-1', entry: 7 })
  })

  it('is exported by the root, which exports nothing else', () => {
    const classes = new Set([KeyriteError, ...samples.map((error) => error.constructor)])
    expect(new Set(Object.values(keyrite))).toEqual(classes)
  })
})
