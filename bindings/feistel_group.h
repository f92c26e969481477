// Records of one radix, length and tweak length, and the numbers of FF1 and FF3-1 that follow from
// these (SP 800-38G §5; Rev. 1 draft 2019 §5.2), all by exact integers.
#ifndef KEYRITE_FEISTEL_GROUP_H
#define KEYRITE_FEISTEL_GROUP_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "feistel_arithmetic.h"

namespace keyrite {

constexpr uint32_t kMaxRadix = 65536;
constexpr unsigned kMaxHalfBits = 96;
constexpr uint32_t kMaxLength = 2 * kMaxHalfBits;
constexpr uint32_t kCharactersAtOnce = 4096;

// How symbols stand in memory.
enum class Symbols { kBytes, kWords, kDecimalBytes, kDecimalCharacters, kCharacters };

// `count` consecutive characters from `first` are the numerals from `start`.
struct CharacterRun {
  uint8_t first;
  uint8_t start;
  uint8_t count;
};

// FF1: the block a round's i and NUM are added to, as two words of memory. FF3-1: T_R and T_L as
// numbers; index is the parity of the round (Alg. 9 step 4.i).
using Pad = std::array<uint64_t, 2>;

enum class Scheme {
  kFf1Narrow,  // b <= 4: y has 64 bits, a half 32
  kFf1Wide,    // b <= 12
  kFf3_1,
};

// One of the two parts of a record.
struct HalfShape {
  uint32_t symbols = 0;
  uint32_t low = 0;        // how many of them `split` separates
  Divisor<uint64_t> narrow;  // radix^symbols, where scheme is kFf1Narrow
  Divisor<Wide> wide;        // radix^symbols, else
  Divisor<Wide> split;       // radix^low
};

struct FeistelGroup {
  // Set by the caller.
  uint32_t radix = 0;
  uint32_t length = 0;
  size_t count = 0;
  Symbols symbols = Symbols::kBytes;
  const uint8_t* input = nullptr;
  uint8_t* output = nullptr;
  size_t tweak_length = 0;
  const uint8_t* tweaks = nullptr;
  bool own_tweaks = false;  // one tweak per record
  std::array<uint8_t, 16> prefix{};
  std::vector<CharacterRun> runs;

  // Set by Prepare.
  Scheme scheme = Scheme::kFf1Narrow;
  std::array<HalfShape, 2> halves;
  DigitDivisor digit;
  size_t records_at_once = 1;  // that fit kCharactersAtOnce
  unsigned b_bits = 0;      // 8 b
  unsigned y_shift = 0;     // S[:d] as a number is S shifted right by so many bits
  size_t extra_waves = 0;   // blocks of Q that hold nothing but an own tweak
  Pad shared_pad{};

  size_t SymbolBytes() const { return symbols == Symbols::kWords ? 2 : 1; }
  size_t RecordBytes() const { return length * SymbolBytes(); }

  // False when a half does not fit kMaxHalfBits. Radix and length are in range already.
  bool Prepare(bool ff3_1);
  // The pad of one record. FF1: `mac` is the CBC-MAC state before the last block of Q.
  Pad PadOf(const uint8_t* mac, const uint8_t* tweak) const;
  // Adds block `index` of Q's tweak and padding to `block`.
  void AddTweakBlock(const uint8_t* tweak, size_t index, uint8_t* block) const;
};

}  // namespace keyrite

#endif
