/** Who acts today: chosen once per role, recorded, and checked to be enough different people. */
import { QuorumError } from '../errors.ts'
import { type Ceremony, holders } from './context.ts'
import type { Person, Role } from './room.ts'

/** How many people of a role must act. */
export function needed(ceremony: Ceremony, role: Role): number {
  const { roles } = ceremony.plan
  if (role === 'custodian') return roles.custodian?.quorum ?? 0
  if (role === 'security-officer') return roles['security-officer']?.quorum ?? 0
  return roles[role] ?? 0
}

/**
 * The people of a role who act today; asks the room the first time. Throws QUORUM_NOT_MET for too few,
 * SAME_PERSON_TWICE for a repeated one, SIGNER_UNKNOWN for somebody without the role.
 */
export async function actingPeople(
  ceremony: Ceremony,
  role: Role,
  step: string,
): Promise<readonly Person[]> {
  const already = ceremony.acting.get(role)
  if (already !== undefined) return already
  const candidates = holders(ceremony, role)
  const need = needed(ceremony, role)
  const chosen = await ceremony.room.choose(role, need, candidates)
  const ids = chosen.map((person) => person.id)
  const twice = ids.find((id, index) => ids.indexOf(id) !== index)
  if (twice !== undefined) {
    throw new QuorumError('SAME_PERSON_TWICE', `${twice} cannot act twice as ${role}`, {
      where: `step ${step}`,
      expected: `${need} different people`,
      got: ids.join(', '),
      have: new Set(ids).size,
      need,
    })
  }
  const stranger = chosen.find((person) => !candidates.some(({ id }) => id === person.id))
  if (stranger !== undefined) {
    throw new QuorumError('SIGNER_UNKNOWN', `${stranger.id} does not hold the role ${role}`, {
      where: `step ${step}`,
      expected: candidates.map(({ id }) => id).join(', '),
      got: stranger.id,
    })
  }
  if (chosen.length < need) {
    throw new QuorumError(
      'QUORUM_NOT_MET',
      `${chosen.length} of ${need} people are present as ${role}`,
      {
        where: `step ${step}`,
        expected: `${need} people`,
        got: ids.join(', ') || 'nobody',
        hint: 'one person alone cannot do this; wait for the others or abort',
        have: chosen.length,
        need,
      },
    )
  }
  await ceremony.journal.append('people.chosen', step, { role, acting: ids }, ['human-asserted'])
  ceremony.acting.set(role, chosen)
  return chosen
}

/** The one person who runs the ceremony. */
export async function administrator(ceremony: Ceremony, step: string): Promise<Person> {
  const [person] = await actingPeople(ceremony, 'administrator', step)
  if (person === undefined) {
    throw new QuorumError('QUORUM_NOT_MET', 'the ceremony has no administrator', {
      where: `step ${step}`,
      expected: '1 administrator in the binding',
      have: 0,
      need: 1,
    })
  }
  return person
}
