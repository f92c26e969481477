// Residues as bit strings: bit i of residue j is bit (bits * j + i) of the little-endian string.
#ifndef KEYRITE_HE_RESIDUES_H
#define KEYRITE_HE_RESIDUES_H

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace keyrite {

// Bytes after a packed string that readers may touch.
constexpr size_t kPackedMargin = 16;
constexpr size_t kAllResiduesGood = static_cast<size_t>(-1);

inline size_t PackedLength(size_t count, unsigned bits) { return (count * bits + 7) / 8; }

// Packs residues below 2^bits; bits is 1 to 63, count a multiple of 8 or the end of the string.
void PackResidues(const uint64_t* words, size_t count, unsigned bits, uint8_t* packed);

// Unpacks, with kPackedMargin bytes readable behind the string. Returns the index of the first
// residue that is not below the modulus, count when unused bits are set, else kAllResiduesGood.
size_t UnpackResidues(const uint8_t* packed, size_t count, unsigned bits, uint64_t modulus,
                      uint64_t* words);

}  // namespace keyrite

#endif
