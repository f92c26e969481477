// A scan: every query against every block, on several threads.
#ifndef KEYRITE_HE_SCAN_H
#define KEYRITE_HE_SCAN_H

#include <memory>
#include <vector>

#include "he_layout.h"
#include "he_parallel.h"

namespace keyrite {

struct ScanOutcome {
  bool aborted = false;
  // Index of a query with a residue that is not below the modulus, and of that residue; -1: none.
  double bad_query = -1;
  double bad_residue = -1;
};

struct ScanInput {
  const Kernel* kernel;
  size_t threads;
  Layout block_layout;
  size_t chunks;
  std::vector<std::shared_ptr<const ResidentBlock>> blocks;
  std::vector<PackedChunks> queries;
  std::vector<uint8_t*> results;  // [block][query]: r0, r1, r2, packed
};

// On the calling thread and others until it is done or cancelled.
ScanOutcome Scan(const ScanInput& input, const CancelFlag& cancelled);

// The time that memory takes: reads every word of the blocks once and adds them up.
uint64_t ReadBlocks(const std::vector<std::shared_ptr<const ResidentBlock>>& blocks,
                    size_t threads);

}  // namespace keyrite

#endif
