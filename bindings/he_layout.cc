#include "he_layout.h"

#include <cstring>

#include "he_residues.h"
#include "he_seed.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace keyrite {
namespace {

// Of two residues.
uint64_t AddResidues(uint64_t a, uint64_t b, uint64_t modulus) {
  const uint64_t sum = a + b;
  return sum >= modulus ? sum - modulus : sum;
}

// Copies a cache line past the caches: nobody reads it soon, and what was there need not be fetched.
void Stream(const uint64_t* from, uint64_t* to) {
#if defined(__x86_64__)
  for (size_t at = 0; at < kTile; at += 2) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + at),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at)));
  }
#else
  std::memcpy(to, from, kTile * sizeof(uint64_t));
#endif
}

// What was streamed comes before what this thread writes from now on.
void EndStream() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

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
    // First of all: streams that wait for it were measured to be slower.
    uint64_t sums[kTile];
    for (size_t lane = 0; lane < kTile; lane++) {
      sums[lane] = AddResidues(from[lane], second[lane], ring_.modulus);
    }
    Stream(from, to);
    Stream(second, to + kTile);
    if (step_ == kQueryStep) Stream(sums, to + 2 * kTile);
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

size_t Layout::Place(const PackedChunks& packed, size_t first, size_t count, uint64_t* pairs,
                     uint64_t* words) const {
  for (size_t at = 0; at < count; at++) {
    const size_t bad = Unpack(packed, first + at, pairs + at * PairWords());
    if (bad != kAllResiduesGood) return (first + at) * PairWords() + bad;
  }
  for (size_t tile = 0; tile < ring_.Tiles(); tile++) {
    Copy(pairs, first, count, tile, words + tile * TileWords());
  }
  EndStream();
  return kAllResiduesGood;
}

size_t ResidentBlock::Fill(const PackedChunks& packed, size_t chunks) {
  const Scratch pairs(kChunksAtOnce * layout_.PairWords());
  for (size_t first = 0; first < chunks; first += kChunksAtOnce) {
    const size_t bad = layout_.Place(packed, first, std::min(kChunksAtOnce, chunks - first),
                                     pairs.words(), pages_.words());
    if (bad != kAllResiduesGood) return bad;
  }
  for (size_t tile = 0; tile < layout_.ring().Tiles(); tile++) {
    layout_.MakeHeads(pages_.words() + tile * layout_.TileWords());
  }
  return kAllResiduesGood;
}

}  // namespace keyrite
