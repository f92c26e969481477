// Sums of a tile, packed into the results of a scan.
#ifndef KEYRITE_HE_PACK_H
#define KEYRITE_HE_PACK_H

#include "he_ring.h"

namespace keyrite {

// As Kernel::pack, for every CPU.
void PackSums(const Ring& ring, size_t tile, const uint64_t* sums, size_t count,
              uint8_t* const* results);

// The same for a CPU with AVX-512.
void PackSumsAvx512(const Ring& ring, size_t tile, const uint64_t* sums, size_t count,
                    uint8_t* const* results);

}  // namespace keyrite

#endif
