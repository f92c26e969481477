#include "he_layout.h"

#include <cstring>

#include "he_residues.h"
#include "he_seed.h"

namespace keyrite {
namespace {

// Of two residues.
uint64_t AddResidues(uint64_t a, uint64_t b, uint64_t modulus) {
  const uint64_t sum = a + b;
  return sum >= modulus ? sum - modulus : sum;
}

}  // namespace

size_t PackedChunks::ChunkBytes(const Ring& ring) const {
  return ring.PackedBytes() + (seeded ? kSeedBytes : ring.PackedBytes());
}

size_t Layout::Place(const PackedChunks& packed, size_t chunk, uint64_t* scratch,
                     uint64_t* words) const {
  const size_t degree = ring_.degree;
  const uint8_t* from = packed.bytes + chunk * packed.ChunkBytes(ring_);
  size_t bad = UnpackResidues(from, degree, ring_.bits, ring_.modulus, scratch);
  if (bad != kAllResiduesGood) return bad;
  const uint8_t* second = from + ring_.PackedBytes();
  if (packed.seeded) {
    ExpandSeed(second, ring_, WidestLanes(), scratch + degree);
  } else {
    bad = UnpackResidues(second, degree, ring_.bits, ring_.modulus, scratch + degree);
    if (bad != kAllResiduesGood) return degree + bad;
  }
  uint64_t* to = words + At(0, chunk / kSegment) + kHead + chunk % kSegment * step_;
  for (size_t at = 0; at < degree; at += kTile, to += TileWords()) {
    std::memcpy(to, scratch + at, kTile * sizeof(uint64_t));
    std::memcpy(to + kTile, scratch + degree + at, kTile * sizeof(uint64_t));
    if (step_ == kBlockStep) continue;
    for (size_t lane = 0; lane < kTile; lane++) {
      to[2 * kTile + lane] = AddResidues(to[lane], to[kTile + lane], ring_.modulus);
    }
  }
  return kAllResiduesGood;
}

void Layout::MakeHeads(size_t tile, uint64_t* words) const {
  for (size_t segment = 0; segment < Segments(); segment++) {
    uint64_t* head = words + At(tile, segment);
    const size_t pairs = ChunksOf(segment) / 2;
    for (size_t lane = 0; lane < kTile; lane++) {
      HeWide first = 0;
      HeWide last = 0;
      HeWide both = 0;
      const uint64_t* x = head + kHead + lane;
      for (size_t pair = 0; pair < pairs; pair++, x += 2 * step_) {
        const uint64_t* y = x + step_;
        first += HeWide{x[0]} * y[0];
        last += HeWide{x[kTile]} * y[kTile];
        both += HeWide{AddResidues(x[0], x[kTile], ring_.modulus)} *
                AddResidues(y[0], y[kTile], ring_.modulus);
      }
      // Less than q, and q itself for zero: the sums have room for it.
      head[lane] = ring_.modulus - Reduce(first, ring_);
      head[kTile + lane] = ring_.modulus - Reduce(last, ring_);
      head[2 * kTile + lane] = ring_.modulus - Reduce(both, ring_);
    }
  }
}

size_t ResidentBlock::Fill(const PackedChunks& packed, size_t chunks) {
  const size_t degree = layout_.ring().degree;
  const std::unique_ptr<uint64_t[]> scratch(new uint64_t[2 * degree]);
  for (size_t chunk = 0; chunk < chunks; chunk++) {
    const size_t bad = layout_.Place(packed, chunk, scratch.get(), pages_.words());
    if (bad != kAllResiduesGood) return 2 * chunk * degree + bad;
  }
  for (size_t tile = 0; tile < layout_.ring().Tiles(); tile++) {
    layout_.MakeHeads(tile, pages_.words());
  }
  return kAllResiduesGood;
}

}  // namespace keyrite
