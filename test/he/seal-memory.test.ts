/** SEAL's own memory, read from outside: the secret key is in it while it is in use, and not after. */
import { expect, it } from 'vitest'

/** Node's global, which the project's TypeScript libraries leave out. */
const wasm = Reflect.get(globalThis, 'WebAssembly') as {
  Memory: new (limits: { initial: number }) => { readonly buffer: ArrayBuffer }
  instantiate(...args: unknown[]): Promise<{ instance?: { exports: object }; exports?: object }>
}
/** SEAL's memory, caught as it is made. */
let memory: InstanceType<typeof wasm.Memory> | undefined
const instantiate = wasm.instantiate.bind(wasm)
wasm.instantiate = async (...args) => {
  const made = await instantiate(...args)
  const exported: unknown[] = Object.values(made.instance?.exports ?? made.exports ?? {})
  memory ??= exported.find((one) => one instanceof wasm.Memory)
  return made
}

const { geometryOf } = await import('../../src/he/parameters.ts')
const { seal } = await import('../../src/he/seal.ts')
const { createSealCipher } = await import('../../src/he/seal-cipher.ts')
const { ternary } = await import('../../src/he/seal-secret.ts')

const g = geometryOf({ parameterSet: 'bgv-n2048-q51-t16-b8', metric: 'cosine', dimensions: 96 })
const library = await seal(g.set)
const message = () => Array.from({ length: 12 }, () => new Int32Array(2048).fill(9))

/** What SEAL was last given as a secret key. */
let given = Buffer.alloc(0)
const prototype = library.lib.SecretKey.prototype as { loadFromArray(...args: unknown[]): void }
// eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own this below
const { loadFromArray } = prototype
prototype.loadFromArray = function (...args) {
  given = Buffer.from(args[1] as Uint8Array)
  Reflect.apply(loadFromArray, this, args)
}

/** 64-byte pieces of the key as SEAL keeps it, and as coefficients modulo t and modulo q. */
function traces(seed: Uint8Array): Buffer[] {
  const coefficients = (minusOne: bigint) =>
    Buffer.from(
      BigUint64Array.from(ternary(seed, 2048), (x) => (x < 0 ? minusOne : BigInt(x))).buffer,
    )
  const forms = [given.subarray(88), coefficients(2n ** 16n - 1n), coefficients(g.set.modulus - 1n)]
  return forms.flatMap((bytes) => [0, 4096, 8000, 16_000].map((at) => bytes.subarray(at, at + 64)))
}

const found = (pieces: readonly Buffer[]): number => {
  const all = Buffer.from(memory!.buffer)
  return pieces.filter((piece) => all.includes(piece)).length
}

const uses = {
  nothing: () => Promise.resolve(),
  'a query': (cipher: Awaited<ReturnType<typeof createSealCipher>>) =>
    cipher.encrypt(message(), 'query'),
  'a block and its decryption': async (cipher: Awaited<ReturnType<typeof createSealCipher>>) =>
    cipher.decryptBlock(await cipher.encrypt(message(), 'block')),
  'a public key': (cipher: Awaited<ReturnType<typeof createSealCipher>>) =>
    Promise.resolve(cipher.publicKey()),
}

it.each(Object.entries(uses))('after %s no trace of the key is left', async (_, use) => {
  const seed = crypto.getRandomValues(new Uint8Array(32))
  const cipher = await createSealCipher(g, seed)
  const pieces = traces(seed)
  await use(cipher)
  expect(memory!.buffer.byteLength).toBeGreaterThan(2 ** 20)
  expect(found(pieces)).toBeGreaterThanOrEqual(4)
  cipher.dispose()
  expect(found(pieces)).toBe(0)
})
