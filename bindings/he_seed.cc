// SEAL's sampling (native/src/seal/util/rlwe.cpp, sample_poly_uniform): 64-bit words of the
// generator, those that would favour small residues replaced by the next ones, the rest reduced.
// A word is used with a probability of 1 - q / 2^64, so replacements are rare.
#include "he_seed.h"

namespace keyrite {
namespace {

// The generator's stream (randomgen.cpp, Blake2xbPRNG): the outputs for counters 0, 1, 2 ...
class Words {
 public:
  Words(const uint8_t* seed, Lanes lanes) : key_(seed), lanes_(lanes) {}

  void Fill(uint64_t* words, size_t count) {
    size_t at = 0;
    while (at + kBlake2xbWords <= count) {
      key_.Output(counter_++, lanes_, words + at);
      at += kBlake2xbWords;
    }
    for (; at < count; at++) words[at] = Next();
  }

  uint64_t Next() {
    if (used_ == kBlake2xbWords) {
      key_.Output(counter_++, lanes_, buffer_);
      used_ = 0;
    }
    return buffer_[used_++];
  }

 private:
  Blake2xbKey key_;
  Lanes lanes_;
  uint64_t counter_ = 0;
  size_t used_ = kBlake2xbWords;
  uint64_t buffer_[kBlake2xbWords];
};

}  // namespace

void ExpandSeed(const uint8_t* seed, const Ring& ring, const Kernel& kernel, uint64_t* residues) {
  Words words(seed, kernel.lanes);
  words.Fill(residues, ring.degree);
  const uint64_t limit = ~uint64_t{0} - ~uint64_t{0} % ring.modulus - 1;
  size_t done = 0;
  while ((done += kernel.reduce(ring, limit, residues + done, ring.degree - done)) < ring.degree) {
    // Replaced in order, as SEAL does: the generator goes on behind the polynomial.
    for (size_t at = done; at < done + kTile; at++) {
      while (residues[at] >= limit) residues[at] = words.Next();
    }
  }
}

}  // namespace keyrite
