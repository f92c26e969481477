/**
 * A scripted cast for rehearsals: throw-away people with real keys. The first custodian locks shares with
 * a passphrase and signs with a key file; the second signs with a key on a PKCS#11 token of their own; the
 * others use key files and age identities. Everything lies in the rehearsal's work directory.
 */
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { toHex, utf8 } from '../bytes.ts'
import type { Hsm, Token } from '../pkcs11/index.ts'
import type { Clock, Random } from '../ports.ts'
import {
  type SshSigner,
  keyFileSigner,
  newShareIdentity,
  pinDigits,
  randomPin,
  sshPublicKey,
  tokenSigner,
} from '../quorum/index.ts'
import type { BoundPerson, BoundShares } from './binding.ts'
import type { PlanRoles } from './plan.ts'
import type { Person, Role, Room } from './room.ts'

const runFile = promisify(execFile)

/** Names by role; the roster of a rehearsal is recognisable at a glance. */
const NAMES: Readonly<Record<Role, readonly string[]>> = {
  administrator: ['ada', 'adam', 'agnes'],
  custodian: ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi', 'ivan'],
  'security-officer': ['sam', 'sue', 'sol', 'sia', 'stan'],
  witness: ['wendy', 'walt', 'wanda'],
}

/** A member of the cast. */
export interface CastMember {
  readonly person: Person
  readonly bound: BoundPerson
  readonly signer: SshSigner
  /** authorized_keys line. */
  readonly publicKey: string
  readonly passphrase?: Uint8Array
}

/** All members and the tokens their keys live on. */
export interface Cast extends AsyncDisposable {
  readonly members: ReadonlyMap<string, CastMember>
  /** Text of `allowed_signers`. */
  readonly roster: string
}

/** How many people of each role the plans need. */
export function headcount(roles: readonly PlanRoles[]): Record<Role, number> {
  const most = (count: (roles: PlanRoles) => number | undefined): number =>
    Math.max(0, ...roles.map((each) => count(each) ?? 0))
  return {
    administrator: most((each) => each.administrator),
    custodian: most((each) => each.custodian?.of),
    'security-officer': most((each) => each['security-officer']?.of),
    witness: most((each) => each.witness),
  }
}

const nameOf = (role: Role, index: number): string => NAMES[role][index] ?? `${role}-${index + 1}`

async function sharesOf(
  dir: string,
  random: Random,
  byPassphrase: boolean,
): Promise<{ shares: BoundShares; passphrase?: Uint8Array }> {
  const directory = join(dir, 'medium')
  await mkdir(directory, { recursive: true, mode: 0o700 })
  if (byPassphrase) {
    const passphrase = utf8(toHex(await random.bytes(16)))
    return { shares: { directory, lock: 'passphrase' }, passphrase }
  }
  const { identity, recipient } = await newShareIdentity()
  const path = join(dir, 'age-identity.txt')
  await writeFile(path, identity, { mode: 0o600 })
  return { shares: { directory, lock: { recipient, identity: path } } }
}

/** A key file made by ssh-keygen. */
async function keyFile(
  dir: string,
  principal: string,
): Promise<{ signer: SshSigner; publicKey: string; file: string }> {
  const file = join(dir, 'id_ed25519')
  await runFile('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', principal, '-f', file])
  const publicKey = (await readFile(`${file}.pub`, 'utf8')).trim()
  return { signer: keyFileSigner({ principal, keyFile: file }), publicKey, file }
}

/** A signing key on a person's own token; undefined where the module has no blank slot left. */
async function ownToken(
  hsm: Hsm,
  random: Random,
  id: string,
  principal: string,
): Promise<{ signer: SshSigner; publicKey: string; uri: string; token: Token } | undefined> {
  const [slotId] = await hsm.blankSlots()
  if (slotId === undefined) return undefined
  const label = `${id} (rehearsal)`
  const soPin = pinDigits(await randomPin(random))
  const pin = pinDigits(await randomPin(random))
  const { serial } = await hsm.initToken({ slotId }, label, soPin)
  const tokenUri = `pkcs11:serial=${encodeURIComponent(serial)}`
  {
    await using officer = await hsm.login(tokenUri, { pin: soPin, user: 'so' })
    await officer.initPin(pin)
  }
  const token = await hsm.login(tokenUri, { pin })
  const key = await token.generate({
    role: 'approval',
    label: 'approval',
    id: await random.bytes(16),
  })
  const signer = await key.signer()
  return {
    signer: tokenSigner(principal, signer),
    publicKey: sshPublicKey(signer),
    uri: `${tokenUri};object=approval`,
    token,
  }
}

/** Makes the people, their keys and their media. */
export async function makeCast(options: {
  readonly dir: string
  readonly roles: Readonly<Record<Role, number>>
  readonly organisation: string
  readonly hsm: Hsm
  readonly random: Random
  /** All keys are plain files, so that another process can play the same cast. */
  readonly filesOnly?: boolean
}): Promise<Cast> {
  const { dir, roles, organisation, hsm, random, filesOnly = false } = options
  const members = new Map<string, CastMember>()
  const tokens: Token[] = []
  for (const role of Object.keys(roles) as Role[]) {
    for (let index = 0; index < roles[role]; index += 1) {
      const id = nameOf(role, index)
      const home = join(dir, id)
      await mkdir(home, { recursive: true, mode: 0o700 })
      const principal = `${id}@${organisation}`
      const person: Person = {
        id,
        name: id.charAt(0).toUpperCase() + id.slice(1),
        principal,
        roles: [role],
      }
      const secondCustodian = role === 'custodian' && index === 1 && !filesOnly
      const card = secondCustodian ? await ownToken(hsm, random, id, principal) : undefined
      if (card !== undefined) tokens.push(card.token)
      const file = card === undefined ? await keyFile(home, principal) : undefined
      const key = card ?? file
      if (key === undefined) throw new RangeError('a member has no key')
      const holdsShares = role === 'custodian' || role === 'security-officer'
      const held = holdsShares
        ? await sharesOf(home, random, role === 'custodian' && index === 0 && !filesOnly)
        : undefined
      const bound: BoundPerson = {
        name: person.name,
        principal,
        roles: [role],
        signer: card === undefined ? { file: file?.file ?? '' } : { pkcs11: card.uri },
        ...(held === undefined ? {} : { shares: held.shares }),
      }
      members.set(id, {
        person,
        bound,
        signer: key.signer,
        publicKey: key.publicKey,
        ...(held?.passphrase === undefined ? {} : { passphrase: held.passphrase }),
      })
    }
  }
  const roster = [...members.values()]
    .map(({ person: { principal }, publicKey }) => {
      const [type = '', key = ''] = publicKey.split(' ')
      return `${principal} namespaces="keyrite-approval,keyrite-checkpoint" ${type} ${key}\n`
    })
    .join('')
  return {
    members,
    roster,
    async [Symbol.asyncDispose]() {
      for (const token of tokens) await token[Symbol.asyncDispose]()
    },
  }
}

/** What a scripted room lets a caller watch or change. */
export interface ScriptedRoomOptions {
  readonly clock: Clock
  readonly signal?: AbortSignal
  /** Everything that is shown, line by line. */
  readonly watch?: Partial<Pick<Room, 'show' | 'stepStarted' | 'stepFinished' | 'progress'>>
  /** Part of the script that is played differently, e.g. by a test. */
  readonly play?: Partial<Pick<Room, 'choose' | 'confirm' | 'passphrase' | 'signer' | 'reading'>>
}

/** A room in which the cast does what the script says. */
export function scriptedRoom(cast: Cast, options: ScriptedRoomOptions): Room {
  const member = (who: Person): CastMember => {
    const found = cast.members.get(who.id)
    if (found === undefined) throw new RangeError(`${who.id} is not in the cast`)
    return found
  }
  const quiet = (): void => undefined
  return {
    signal: options.signal ?? new AbortController().signal,
    show: quiet,
    stepStarted: quiet,
    stepFinished: quiet,
    progress: quiet,
    ...options.watch,
    choose: (_role, need, candidates) => Promise.resolve(candidates.slice(0, need)),
    confirm: () => Promise.resolve(),
    reading: () => Promise.resolve(new Date(options.clock.wallMs()).toISOString()),
    // A copy: the engine wipes what it is given.
    passphrase: (who) => Promise.resolve(member(who).passphrase?.slice() ?? new Uint8Array(0)),
    signer: (who) => Promise.resolve(member(who).signer),
    ...options.play,
  }
}
