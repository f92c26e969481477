// How ciphertexts lie in memory for the kernels: tile by tile, in a tile segment by segment, in a
// segment a head and then its chunks. A scan reads a tile of a block from begin to end.
#ifndef KEYRITE_HE_LAYOUT_H
#define KEYRITE_HE_LAYOUT_H

#include <algorithm>

#include "he_kernel.h"
#include "he_pages.h"

namespace keyrite {

// Chunks whose polynomials stay in the second cache until they are in their tiles.
constexpr size_t kChunksAtOnce = 16;

// Ciphertexts of two polynomials as they come in: per chunk c0, then c1 or the seed of it.
struct PackedChunks {
  const uint8_t* bytes;  // kPackedMargin bytes are readable behind them
  bool seeded;

  size_t ChunkBytes(const Ring& ring) const;
};

class Layout {
 public:
  // `step`: kBlockStep or kQueryStep. The layout is the same for all kernels.
  Layout(const Ring& ring, size_t chunks, size_t step, const Kernel& kernel)
      : ring_(ring), chunks_(chunks), step_(step), kernel_(&kernel) {}

  const Ring& ring() const { return ring_; }
  bool Same(const Layout& other) const {
    return chunks_ == other.chunks_ && step_ == other.step_ && ring_.degree == other.ring_.degree &&
           ring_.modulus == other.ring_.modulus;
  }
  size_t Segments() const { return (chunks_ + kSegment - 1) / kSegment; }
  // An odd last chunk gets a neighbour of zeros.
  size_t ChunksOf(size_t segment) const {
    return (std::min(kSegment, chunks_ - segment * kSegment) + 1) / 2 * 2;
  }
  size_t TileWords() const {
    return Segments() * kHead + (chunks_ + 1) / 2 * 2 * step_;
  }
  size_t Words() const { return ring_.Tiles() * TileWords(); }
  // Where a segment of a tile begins.
  size_t At(size_t segment) const { return segment * (kHead + kSegment * step_); }

  // Words of the polynomials of one chunk, c0 and c1.
  size_t PairWords() const { return 2 * size_t{ring_.degree}; }

  // Unpacks `count` chunks from `first` on and puts them into the tiles at `words`; `pairs` has room for
  // them, kChunksAtOnce at most. Returns the index of the first residue, counted through c0 and c1 of
  // all chunks, that is not below the modulus, or kAllResiduesGood.
  size_t Place(const PackedChunks& packed, size_t first, size_t count, uint64_t* pairs,
               uint64_t* words) const;

  // Makes the heads of a tile whose chunks are in place.
  void MakeHeads(uint64_t* words) const;

 private:
  // Unpacks one chunk to a 64-byte aligned pair. Returns the index of the first residue (of c0, then
  // c1) that is not below the modulus, or kAllResiduesGood.
  size_t Unpack(const PackedChunks& packed, size_t chunk, uint64_t* pair) const;

  // Puts `count` chunks from `first` on, whose pairs are one behind the other, into a tile.
  void Copy(const uint64_t* pairs, size_t first, size_t count, size_t tile, uint64_t* words) const;

  Ring ring_;
  size_t chunks_;
  size_t step_;
  const Kernel* kernel_;
};

// A block of ciphertexts, ready for scans.
class ResidentBlock {
 public:
  explicit ResidentBlock(const Layout& layout) : layout_(layout), pages_(layout.Words()) {}

  // As Layout::Place for all chunks.
  size_t Fill(const PackedChunks& packed, size_t chunks);

  const Layout& layout() const { return layout_; }
  const uint64_t* words() const { return pages_.words(); }
  size_t bytes() const { return pages_.bytes(); }

 private:
  Layout layout_;
  Pages pages_;
};

}  // namespace keyrite

#endif
