// The kernels: sums of products of ciphertexts over eight coefficients, for several blocks and
// queries at once. All of them give the same canonical residues.
//
// Wanted are r0 = sum of c0 q0, r1 = sum of c0 q1 + c1 q0 and r2 = sum of c1 q1 over the chunks.
// Two classical identities save products:
// - Karatsuba and Ofman (1962): r1 = sum of (c0 + c1)(q0 + q1) - r0 - r2: three sums instead of four.
// - Winograd (1968, "A new algorithm for inner product"): x1 y1 + x2 y2 = (x1 + y2)(x2 + y1) - x1 x2 -
//   y1 y2. The last two depend on the block or on the query alone and are made once: their heads.
//   It takes one product for two chunks.
#ifndef KEYRITE_HE_KERNEL_H
#define KEYRITE_HE_KERNEL_H

#include <vector>

#include "he_blake2xb.h"
#include "he_ring.h"

namespace keyrite {

// Words before the chunks of a segment: for each of the three sums, minus the products of neighbours.
constexpr size_t kHead = 3 * kTile;
// Words of one chunk of a block: c0, c1.
constexpr size_t kBlockStep = 2 * kTile;
// Words of one chunk of a query: q0, q1, q0 + q1 mod q.
constexpr size_t kQueryStep = 3 * kTile;
// Words of a tile of a result: r0, r1, r2.
constexpr size_t kResultStep = 3 * kTile;
// Most queries of one pass.
constexpr size_t kQueriesAtOnce = 8;
// Chunks of a segment: what the accumulators of every kernel have room for. Even.
constexpr size_t kSegment = 4096;

// One tile of one segment of several blocks and queries.
struct Pass {
  const Ring* ring;
  size_t chunks;  // even
  size_t block_count;
  size_t query_count;
  const uint64_t* const* blocks;
  const uint64_t* const* queries;
  // Of as many blocks what the next pass reads, for kernels that fetch it meanwhile.
  const uint64_t* const* next_blocks;
  uint64_t* results;  // [block][query][kResultStep], 64-byte aligned
};

struct Kernel {
  const char* name;
  bool (*available)();
  void (*run)(const Pass& pass);
  // Makes the head of a segment whose chunks, `step` words each, are in place behind it.
  void (*make_head)(const Ring& ring, size_t chunks, size_t step, uint64_t* segment);
  // Residues of words, eight at a time, up to the first eight with one that is not below the limit.
  // Returns how many were reduced; count is a multiple of 8, words are 64-byte aligned.
  size_t (*reduce)(const Ring& ring, uint64_t limit, uint64_t* words, size_t count);
  // Packs the sums of one tile of a block and `count` queries into the results of these queries.
  void (*pack)(const Ring& ring, size_t tile, const uint64_t* sums, size_t count,
               uint8_t* const* results);
  // What the same CPUs have for seeds.
  Lanes lanes;
};

extern const Kernel kIfmaKernel;
extern const Kernel kAvx2Kernel;
extern const Kernel kPortableKernel;

// Those that run on this CPU, fastest first.
const std::vector<const Kernel*>& AvailableKernels();

}  // namespace keyrite

#endif
