#include "feistel_group.h"

#include <algorithm>

namespace keyrite {
namespace {

constexpr Wide kLargestModulus = Wide{1} << kMaxHalfBits;

// radix^exponent, or 0 when it is above 2^96.
Wide Power(uint32_t radix, uint32_t exponent) {
  Wide power = 1;
  for (uint32_t at = 0; at < exponent; at++) {
    power *= radix;
    if (power > kLargestModulus) return 0;
  }
  return power;
}

// Bytes of the largest number below `modulus`.
unsigned ByteLength(Wide modulus) {
  unsigned bytes = 0;
  for (Wide rest = modulus - 1; rest != 0; rest >>= 8) bytes++;
  return bytes;
}

bool IsDecimal(const std::vector<CharacterRun>& runs) {
  return runs.size() == 1 && runs[0].first == '0' && runs[0].start == 0 && runs[0].count == 10;
}

}  // namespace

bool FeistelGroup::Prepare(bool ff3_1) {
  if (radix == 10 && symbols == Symbols::kBytes) symbols = Symbols::kDecimalBytes;
  if (symbols == Symbols::kCharacters && IsDecimal(runs)) symbols = Symbols::kDecimalCharacters;

  const uint32_t shorter = length / 2;
  const uint32_t longer = length - shorter;
  // FF1 Alg. 7 step 1: u = floor(n / 2). FF3-1 Alg. 9 step 1: u = ceil(n / 2).
  const uint32_t lengths[2] = {ff3_1 ? longer : shorter, ff3_1 ? shorter : longer};
  const Wide largest = Power(radix, longer);
  if (largest == 0) return false;
  const unsigned b = ByteLength(largest);               // Alg. 7 step 3
  const unsigned d = 4 * ((b + 3) / 4) + 4;             // Alg. 7 step 4
  scheme = ff3_1 ? Scheme::kFf3_1 : (b <= 4 ? Scheme::kFf1Narrow : Scheme::kFf1Wide);
  b_bits = 8 * b;
  y_shift = 8 * (16 - d);
  digit = DigitDivisor(radix);
  records_at_once = kCharactersAtOnce / length;
  for (size_t at = 0; at < 2; at++) {
    HalfShape& half = halves[at];
    const Wide modulus = Power(radix, lengths[at]);
    half.symbols = lengths[at];
    half.low = (lengths[at] + 1) / 2;
    half.narrow = Divisor<uint64_t>(static_cast<uint64_t>(b <= 4 ? modulus : 1));
    half.wide = Divisor<Wide>(modulus);
    half.split = Divisor<Wide>(Power(radix, half.low));
  }
  // Blocks of Q before the last one; a shared tweak's are in `prefix` already.
  const size_t before = ff3_1 ? 0 : (tweak_length + b) / 16;
  extra_waves = own_tweaks ? before : 0;
  if (own_tweaks) return true;
  if (ff3_1) {
    shared_pad = PadOf(nullptr, tweaks);
  } else {
    std::array<uint8_t, 16> block = prefix;
    AddTweakBlock(tweaks, before, block.data());
    std::memcpy(shared_pad.data(), block.data(), block.size());
  }
  return true;
}

void FeistelGroup::AddTweakBlock(const uint8_t* tweak, size_t index, uint8_t* block) const {
  const size_t start = 16 * index;
  if (start >= tweak_length) return;
  const size_t bytes = std::min<size_t>(16, tweak_length - start);
  for (size_t at = 0; at < bytes; at++) {
    block[at] = static_cast<uint8_t>(block[at] ^ tweak[start + at]);
  }
}

Pad FeistelGroup::PadOf(const uint8_t* mac, const uint8_t* tweak) const {
  Pad pad;
  if (scheme == Scheme::kFf3_1) {
    // T_L = T[0..27] || 0^4, T_R = T[32..55] || T[28..31] || 0^4.
    const auto word = [](uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
      return a << 24 | b << 16 | c << 8 | d;
    };
    const uint64_t nibbles = tweak[3];
    pad[0] = word(tweak[4], tweak[5], tweak[6], (nibbles << 4) & 0xf0);
    pad[1] = word(tweak[0], tweak[1], tweak[2], nibbles & 0xf0);
    return pad;
  }
  uint8_t block[16];
  std::memcpy(block, mac, sizeof block);
  AddTweakBlock(tweak, extra_waves, block);
  std::memcpy(pad.data(), block, sizeof block);
  return pad;
}

}  // namespace keyrite
