/** Bitmaps of slots: slot 0 is bit 0 of byte 0. */

/** Marks a slot. */
export function setBit(bits: Uint8Array, slot: number): void {
  bits[slot >> 3] = (bits[slot >> 3] ?? 0) | (1 << (slot & 7))
}

/** Takes the mark of a slot away. */
export function clearBit(bits: Uint8Array, slot: number): void {
  bits[slot >> 3] = (bits[slot >> 3] ?? 0) & ~(1 << (slot & 7))
}

/** Whether a slot is marked. */
export const hasBit = (bits: Uint8Array, slot: number): boolean =>
  (((bits[slot >> 3] ?? 0) >> (slot & 7)) & 1) === 1

/** Slots of both, in place of the first. Says whether any is left. */
export function intersect(bits: Uint8Array, other: Uint8Array): boolean {
  let any = 0
  for (const [at, byte] of bits.entries()) any |= bits[at] = byte & (other[at] ?? 0)
  return any !== 0
}

/** Slots of either, in place of the first. */
export function unite(bits: Uint8Array, other: Uint8Array): void {
  for (const [at, byte] of other.entries()) bits[at] = (bits[at] ?? 0) | byte
}

/** Slots that are marked. */
export function countBits(bits: Uint8Array): number {
  let count = 0
  for (let byte of bits) for (; byte !== 0; byte &= byte - 1) count += 1
  return count
}
