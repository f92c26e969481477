// The ring of a parameter set and its arithmetic: residues modulo one prime of 51 bits.
#ifndef KEYRITE_HE_RING_H
#define KEYRITE_HE_RING_H

#include <cstddef>
#include <cstdint>

namespace keyrite {

#if defined(__GNUC__)
__extension__ using HeWide = unsigned __int128;
#endif

// Coefficients that a kernel works on at once: eight 64-bit words fill a vector register and a cache
// line, and eight packed residues end on a whole byte whatever their width.
constexpr size_t kTile = 8;

struct Ring {
  uint32_t degree;
  unsigned bits;  // of a packed residue
  uint64_t modulus;
  HeWide ratio;  // floor((2^128 - 1) / modulus)

  size_t Tiles() const { return degree / kTile; }
  size_t PackedBytes() const { return Tiles() * bits; }
};

constexpr unsigned kRingBits = 51;

inline Ring MakeRing(uint32_t degree, unsigned bits, uint64_t modulus) {
  return {degree, bits, modulus, ~HeWide{0} / modulus};
}

// Residue of any 128-bit number: Barrett reduction (Handbook of Applied Cryptography, Alg. 14.42)
// in base 2^128. The estimate of the quotient is at most two too small.
inline uint64_t Reduce(HeWide number, const Ring& ring) {
  const uint64_t low = static_cast<uint64_t>(number);
  const uint64_t high = static_cast<uint64_t>(number >> 64);
  const uint64_t ratio_low = static_cast<uint64_t>(ring.ratio);
  const uint64_t ratio_high = static_cast<uint64_t>(ring.ratio >> 64);
  const HeWide cross = HeWide{low} * ratio_high;
  const HeWide middle = HeWide{high} * ratio_low + (HeWide{low} * ratio_low >> 64) +
                        static_cast<uint64_t>(cross);
  const uint64_t quotient = high * ratio_high + static_cast<uint64_t>(cross >> 64) +
                            static_cast<uint64_t>(middle >> 64);
  uint64_t rest = low - quotient * ring.modulus;
  if (rest >= 2 * ring.modulus) rest -= 2 * ring.modulus;
  return rest >= ring.modulus ? rest - ring.modulus : rest;
}

// Residue of a 64-bit number; the estimate of the quotient is at most one too small.
inline uint64_t ReduceWord(uint64_t number, const Ring& ring) {
  const uint64_t ratio_high = static_cast<uint64_t>(ring.ratio >> 64);
  const uint64_t quotient = static_cast<uint64_t>(HeWide{number} * ratio_high >> 64);
  const uint64_t rest = number - quotient * ring.modulus;
  return rest >= ring.modulus ? rest - ring.modulus : rest;
}

}  // namespace keyrite

#endif
