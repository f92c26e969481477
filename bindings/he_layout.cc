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

// Chunks whose polynomials stay in the second cache until they are in their tiles.
constexpr size_t kChunksAtOnce = 16;

}  // namespace

size_t PackedChunks::ChunkBytes(const Ring& ring) const {
  return ring.PackedBytes() + (seeded ? kSeedBytes : ring.PackedBytes());
}

size_t Layout::Unpack(const PackedChunks& packed, size_t chunk, uint64_t* pair) const {
  const size_t degree = ring_.degree;
  const uint8_t* from = packed.bytes + chunk * packed.ChunkBytes(ring_);
  size_t bad = UnpackResidues(from, degree, ring_.bits, ring_.modulus, pair);
  if (bad != kAllResiduesGood) return bad;
  const uint8_t* second = from + ring_.PackedBytes();
  if (packed.seeded) {
    ExpandSeed(second, ring_, *kernel_, pair + degree);
    return kAllResiduesGood;
  }
  bad = UnpackResidues(second, degree, ring_.bits, ring_.modulus, pair + degree);
  return bad == kAllResiduesGood ? bad : degree + bad;
}

void Layout::Copy(const uint64_t* pairs, size_t first, size_t count, size_t tile,
                  uint64_t* words) const {
  const uint64_t* from = pairs + tile * kTile;
  for (size_t chunk = first; chunk < first + count; chunk++, from += PairWords()) {
    uint64_t* to = words + At(chunk / kSegment) + kHead + chunk % kSegment * step_;
    const uint64_t* second = from + ring_.degree;
    std::memcpy(to, from, kTile * sizeof(uint64_t));
    std::memcpy(to + kTile, second, kTile * sizeof(uint64_t));
    if (step_ == kBlockStep) continue;
    for (size_t lane = 0; lane < kTile; lane++) {
      to[2 * kTile + lane] = AddResidues(from[lane], second[lane], ring_.modulus);
    }
  }
}

void Layout::MakeHeads(uint64_t* words) const {
  if (chunks_ % 2 != 0) {
    uint64_t* neighbour = words + At((chunks_ - 1) / kSegment) + kHead + chunks_ % kSegment * step_;
    std::memset(neighbour, 0, step_ * sizeof(uint64_t));
  }
  for (size_t segment = 0; segment < Segments(); segment++) {
    kernel_->make_head(ring_, ChunksOf(segment), step_, words + At(segment));
  }
}

size_t ResidentBlock::Fill(const PackedChunks& packed, size_t chunks) {
  const size_t tiles = layout_.ring().Tiles();
  const Scratch pairs(kChunksAtOnce * layout_.PairWords());
  for (size_t first = 0; first < chunks; first += kChunksAtOnce) {
    const size_t count = std::min(kChunksAtOnce, chunks - first);
    for (size_t at = 0; at < count; at++) {
      const size_t bad = layout_.Unpack(packed, first + at, pairs.words() + at * layout_.PairWords());
      if (bad != kAllResiduesGood) return (first + at) * layout_.PairWords() + bad;
    }
    for (size_t tile = 0; tile < tiles; tile++) {
      layout_.Copy(pairs.words(), first, count, tile, TileAt(tile));
    }
  }
  for (size_t tile = 0; tile < tiles; tile++) layout_.MakeHeads(TileAt(tile));
  return kAllResiduesGood;
}

}  // namespace keyrite
