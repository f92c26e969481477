#include "he_residues.h"

namespace keyrite {

namespace {

// A compile-time width lets the compiler settle every offset and shift of eight residues.
template <unsigned kBits>
size_t UnpackEights(const uint8_t* packed, size_t count, uint64_t modulus, uint64_t* words) {
  constexpr uint64_t kMask = (uint64_t{1} << kBits) - 1;
  for (size_t first = 0; first < count; first += 8, packed += kBits) {
    bool bad = false;
#pragma GCC unroll 8
    for (unsigned at = 0; at < 8; at++) {
      uint64_t word;
      std::memcpy(&word, packed + at * kBits / 8, sizeof(word));
      words[first + at] = word >> at * kBits % 8 & kMask;
      bad |= words[first + at] >= modulus;
    }
    if (!bad) continue;
    while (words[first] < modulus) first++;
    return first;
  }
  return kAllResiduesGood;
}

template <unsigned kBits>
void PackEights(const uint64_t* words, size_t count, uint8_t* packed) {
  for (size_t first = 0; first < count; first += 8, packed += kBits) {
    uint64_t pending = 0;
    unsigned held = 0;
    uint8_t* to = packed;
#pragma GCC unroll 8
    for (unsigned at = 0; at < 8; at++) {
      const uint64_t word = words[first + at];
      pending |= word << held;
      held += kBits;
      if (held < 64) continue;
      std::memcpy(to, &pending, sizeof(pending));
      to += sizeof(pending);
      held -= 64;
      pending = word >> (kBits - held);
    }
    // Eight residues are kBits bytes.
    std::memcpy(to, &pending, kBits % 8);
  }
}

// The width of the parameter sets.
constexpr unsigned kCommonBits = 51;

}  // namespace

void PackResidues(const uint64_t* words, size_t count, unsigned bits, uint8_t* packed) {
  if (bits == kCommonBits && count % 8 == 0) return PackEights<kCommonBits>(words, count, packed);
  uint64_t pending = 0;
  unsigned held = 0;
  for (size_t at = 0; at < count; at++) {
    pending |= words[at] << held;
    held += bits;
    if (held < 64) continue;
    std::memcpy(packed, &pending, sizeof(pending));
    packed += sizeof(pending);
    held -= 64;
    // What of this residue did not fit; a shift by its whole width leaves nothing.
    pending = words[at] >> (bits - held);
  }
  std::memcpy(packed, &pending, (held + 7) / 8);
}

size_t UnpackResidues(const uint8_t* packed, size_t count, unsigned bits, uint64_t modulus,
                      uint64_t* words) {
  if (bits == kCommonBits && count % 8 == 0) {
    return UnpackEights<kCommonBits>(packed, count, modulus, words);
  }
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  for (size_t at = 0; at < count; at++) {
    const size_t bit = at * bits;
    const unsigned shift = bit % 8;
    uint64_t word;
    std::memcpy(&word, packed + bit / 8, sizeof(word));
    word >>= shift;
    // The ninth byte holds the rest of a residue of more than 57 bits.
    if (shift + bits > 64) word |= uint64_t{packed[bit / 8 + 8]} << (64 - shift);
    words[at] = word & mask;
    if (words[at] >= modulus) return at;
  }
  const size_t used = count * bits % 8;
  if (used != 0 && packed[count * bits / 8] >> used != 0) return count;
  return kAllResiduesGood;
}

}  // namespace keyrite
