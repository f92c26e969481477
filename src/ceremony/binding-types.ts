/** The site facts as plain types; `binding.ts` reads them, `binding-check.ts` holds them against a plan. */
import type { Role } from './room.ts'

/** How a person signs. `detached`: elsewhere, with `ssh-keygen -Y sign`; the signature is brought back. */
export type BoundSigner =
  | { readonly file: string }
  | { readonly agent: string }
  | { readonly pkcs11: string }
  | { readonly detached: true }

/** Where a person's shares are, and how the files are locked. */
export type BoundShares = {
  readonly directory: string
  readonly lock: 'passphrase' | { readonly recipient: string; readonly identity: string }
}

/** A person of this site. */
export type BoundPerson = {
  readonly name: string
  readonly principal: string
  readonly roles: readonly Role[]
  readonly signer?: BoundSigner
  readonly shares?: BoundShares
}

/** A file named by path and SHA-256 of its bytes, as `sha256sum` prints it. */
export type PinnedFile = { readonly file: string; readonly sha256: string }

/** A token: `serial` is `blank`, and `slot` may say where it is, until the ceremony initialises it. */
export type BoundToken = {
  readonly label: string
  readonly serial: string
  readonly slot?: number
}

/** The site facts. It is its own canonical JSON value. */
export type Binding = {
  readonly binding: string
  readonly mode: 'rehearsal' | 'production'
  readonly organisation: string
  readonly module: { readonly path: string; readonly sha256: string }
  readonly tokens: Readonly<Record<string, BoundToken>>
  readonly people: Readonly<Record<string, BoundPerson>>
  readonly roster: PinnedFile
  readonly policy: PinnedFile
  readonly previous?: { readonly bundle: string; readonly root: string }
  readonly inputs?: Readonly<Record<string, string>>
}
