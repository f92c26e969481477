import { expect, test } from 'vitest'

import {
  assertDisjoint,
  assertDistinct,
  fingerprintsOf,
  type Holder,
  parseAllowedSigners,
} from '../../src/quorum/index.ts'

import { person, rosterOf, thrown } from './people.ts'

const [alice, bob, sam, sue] = ['alice', 'bob', 'sam', 'sue'].map((name) => person(name))
const roster = rosterOf(alice!, bob!, sam!, sue!)
const holder = (name: string): Holder => ({
  holder: name,
  keyFingerprints: fingerprintsOf(roster, `${name}@keyrite.example`),
})

test('disjoint groups pass', () => {
  assertDisjoint([holder('alice'), holder('bob')], [holder('sam'), holder('sue')])
  assertDistinct([holder('alice'), holder('bob'), holder('sam')])
  expect(holder('alice').keyFingerprints).toHaveLength(1)
})

test('one person in both groups', async () => {
  const both = () =>
    assertDisjoint([holder('alice'), holder('bob')], [holder('sam'), holder('bob')])
  expect(await thrown(both)).toMatchObject({
    code: 'ROLE_CONFLICT',
    requirement: 'QRM-SEPARATE-1',
    got: 'bob',
  })
})

test('one key under two names', async () => {
  const disguised = { ...holder('bob'), holder: 'robert' }
  const error = await thrown(() => assertDisjoint([holder('bob')], [holder('sam'), disguised]))
  expect(error).toMatchObject({ code: 'ROLE_CONFLICT' })
  expect(error['got']).toContain('bob and robert with the same key SHA256:')
  expect(await thrown(() => assertDistinct([holder('bob'), disguised]))).toMatchObject({
    code: 'SAME_PERSON_TWICE',
  })
  expect(await thrown(() => assertDistinct([holder('bob'), holder('bob')]))).toMatchObject({
    code: 'SAME_PERSON_TWICE',
    got: 'bob',
  })
})

test('a wildcard line gives its key to both people', async () => {
  const wide = parseAllowedSigners(`*@keyrite.example ${alice!.publicKey}\n`)
  const entry = (name: string): Holder => ({
    holder: name,
    keyFingerprints: fingerprintsOf(wide, `${name}@keyrite.example`),
  })
  expect(await thrown(() => assertDisjoint([entry('alice')], [entry('sam')]))).toMatchObject({
    code: 'ROLE_CONFLICT',
  })
})
