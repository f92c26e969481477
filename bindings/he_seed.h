// The uniform polynomial that Microsoft SEAL 4 makes from the 64-byte seed of a ciphertext.
#ifndef KEYRITE_HE_SEED_H
#define KEYRITE_HE_SEED_H

#include "he_kernel.h"

namespace keyrite {

constexpr size_t kSeedBytes = 64;

// Writes ring.degree residues to 64-byte aligned memory.
void ExpandSeed(const uint8_t* seed, const Ring& ring, const Kernel& kernel, uint64_t* residues);

}  // namespace keyrite

#endif
