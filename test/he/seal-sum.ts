/** The scan as SEAL itself does it: multiply and add, chunk by chunk. The reference for the kernel's. */
import {
  checkCiphertexts,
  chunkBytes,
  ciphertextLength,
  writeHeader,
} from '../../src/he/ciphertext-format.ts'
import type { Geometry } from '../../src/he/parameters.ts'
import { seal } from '../../src/he/seal.ts'
import { chunkToSeal } from '../../src/he/seal-chunks.ts'
import { readCiphertext } from '../../src/he/seal-layout.ts'
import { packResidues } from '../../src/he/residues.ts'

/** Result ciphertext of one block and one query. */
export async function sumOfProducts(
  g: Geometry,
  block: Uint8Array,
  query: Uint8Array,
): Promise<Uint8Array> {
  const library = await seal(g.set)
  const { lib, context, layout } = library
  const evaluator = new lib.Evaluator(context)
  const [a, b] = [checkCiphertexts(g, 'block', block), checkCiphertexts(g, 'query', query)]
  const load = (side: typeof a, i: number) => {
    const length = chunkBytes(g, side.form)
    const ciphertext = new lib.Ciphertext()
    const chunk = side.body.subarray(i * length, (i + 1) * length)
    ciphertext.loadFromArray(context, chunkToSeal(library, g, side.form, chunk))
    return ciphertext
  }
  const sum = new lib.Ciphertext()
  for (let i = 0; i < g.chunks; i++) {
    const [x, y] = [load(a, i), load(b, i)]
    evaluator.multiplyInplace(x, y)
    if (i === 0) sum.assign(x)
    else evaluator.addInplace(sum, x)
    for (const one of [x, y]) one.delete()
  }
  const blob = sum.saveToArray(lib.ComprModeType.none) as Uint8Array
  for (const one of [sum, evaluator]) one.delete()
  const out = new Uint8Array(ciphertextLength(g, 'result', 3))
  writeHeader(g, 'result', 3, out)
  let at = 48
  for (const polynomial of readCiphertext(layout, 3, blob)) {
    const packed = packResidues(polynomial, g.set.modulusBits)
    out.set(packed, at)
    at += packed.length
  }
  return out
}
