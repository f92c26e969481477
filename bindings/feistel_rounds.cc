// SP 800-38G §5.1 Alg. 7 and 8 (FF1), Rev. 1 draft (2019) §5.2 Alg. 9 and 10 (FF3-1). The two
// parts stay where they are: round i changes part i mod 2 by a number made from the other one,
// which is what the standard's swaps come to.
#include "feistel_rounds.h"

namespace keyrite {
namespace {

constexpr size_t kFf1Rounds = 10;
constexpr size_t kFf3Rounds = 8;

// y, the number made of S, and the block of the next round, for each scheme.
struct Ff1Narrow {
  using Half = uint32_t;
  static const Divisor<uint64_t>& Modulus(const HalfShape& half) { return half.narrow; }

  unsigned b_bits;
  explicit Ff1Narrow(const FeistelGroup& group) : b_bits(group.b_bits) {}

  // Alg. 7 step 6.iv: d = 8.
  uint64_t Output(const uint8_t* block) const { return LoadBigEndian64(block); }

  // Alg. 7 step 6.i: Q ends in [i]^1 || [NUM_radix(B)]^b.
  void Block(uint8_t* block, const Pad& pad, uint64_t round, uint32_t number) const {
    Store64(block, pad[0]);
    Store64(block + 8, pad[1] ^ __builtin_bswap64(round << b_bits | number));
  }
};

struct Ff1Wide {
  using Half = Wide;
  static const Divisor<Wide>& Modulus(const HalfShape& half) { return half.wide; }

  unsigned b_bits;
  unsigned y_shift;
  explicit Ff1Wide(const FeistelGroup& group) : b_bits(group.b_bits), y_shift(group.y_shift) {}

  Wide Output(const uint8_t* block) const {
    return (Wide{LoadBigEndian64(block)} << 64 | LoadBigEndian64(block + 8)) >> y_shift;
  }

  void Block(uint8_t* block, const Pad& pad, uint64_t round, Wide number) const {
    const Wide end = Wide{round} << b_bits | number;
    Store64(block, pad[0] ^ __builtin_bswap64(static_cast<uint64_t>(end >> 64)));
    Store64(block + 8, pad[1] ^ __builtin_bswap64(static_cast<uint64_t>(end)));
  }
};

struct Ff3 {
  using Half = Wide;
  static const Divisor<Wide>& Modulus(const HalfShape& half) { return half.wide; }

  explicit Ff3(const FeistelGroup&) {}

  // Alg. 9 steps 4.iii and 4.iv: REVB before the cipher and after it makes both little-endian.
  Wide Output(const uint8_t* block) const {
    return Wide{Load64(block + 8)} << 64 | Load64(block);
  }

  // Alg. 9 step 4.ii: P = W xor [i]^4 || [NUM_radix(REV(B))]^12.
  void Block(uint8_t* block, const Pad& pad, uint64_t round, Wide number) const {
    Store64(block, static_cast<uint64_t>(number));
    Store64(block + 8, (pad[round & 1] ^ round) << 32 | static_cast<uint64_t>(number >> 64));
  }
};

size_t RoundsOf(const FeistelGroup& group) {
  return group.scheme == Scheme::kFf3_1 ? kFf3Rounds : kFf1Rounds;
}

uint64_t RoundNumber(const FeistelGroup& group, Direction direction, size_t done) {
  return direction == Direction::kEncrypt ? done : RoundsOf(group) - 1 - done;
}

// The blocks of round `round`, from the part it does not change.
template <typename SchemeOf>
void BuildRound(const Segment& segment, uint64_t round, uint8_t* blocks) {
  const FeistelGroup& group = *segment.group;
  const SchemeOf scheme(group);
  const auto* source = segment.HalfOf<typename SchemeOf::Half>(1 - (round & 1));
  const Pad* pads = group.own_tweaks ? segment.pads : &group.shared_pad;
  const size_t stride = group.own_tweaks ? 1 : 0;
  for (size_t at = 0; at < segment.count; at++) {
    scheme.Block(blocks + 16 * at, pads[stride * at], round, source[at]);
  }
}

// Changes a part by the encrypted blocks of `round`.
template <typename SchemeOf, bool kDecrypt>
void TakeRound(const Segment& segment, uint64_t round, const uint8_t* encrypted) {
  const FeistelGroup& group = *segment.group;
  const SchemeOf scheme(group);
  const auto modulus = SchemeOf::Modulus(group.halves[round & 1]);
  auto* target = segment.HalfOf<typename SchemeOf::Half>(round & 1);
  using Word = decltype(modulus.number);
  for (size_t at = 0; at < segment.count; at++) {
    const Word y = scheme.Output(encrypted + 16 * at);
    target[at] = static_cast<typename SchemeOf::Half>(
        AddModulo<kDecrypt>(Word{target[at]}, y, modulus));
  }
}

// Both at once: the part that changes is the source of the next round.
template <typename SchemeOf, bool kDecrypt, bool kOwnTweaks>
void TakeAndBuild(const Segment& segment, uint64_t round, const uint8_t* encrypted,
                  uint8_t* blocks) {
  const FeistelGroup& group = *segment.group;
  const SchemeOf scheme(group);
  const auto modulus = SchemeOf::Modulus(group.halves[round & 1]);
  auto* target = segment.HalfOf<typename SchemeOf::Half>(round & 1);
  const uint64_t next = kDecrypt ? round - 1 : round + 1;
  const Pad shared = group.shared_pad;
  const Pad* own = segment.pads;
  const size_t count = segment.count;
  using Word = decltype(modulus.number);
  for (size_t at = 0; at < count; at++) {
    const Word y = scheme.Output(encrypted + 16 * at);
    const auto changed = static_cast<typename SchemeOf::Half>(
        AddModulo<kDecrypt>(Word{target[at]}, y, modulus));
    target[at] = changed;
    scheme.Block(blocks + 16 * at, kOwnTweaks ? own[at] : shared, next, changed);
  }
}

template <typename SchemeOf>
void AdvanceRound(const Segment& segment, Direction direction, size_t done,
                  const uint8_t* encrypted, uint8_t* blocks) {
  const uint64_t round = RoundNumber(*segment.group, direction, done);
  const bool decrypt = direction == Direction::kDecrypt;
  const auto last = decrypt ? TakeRound<SchemeOf, true> : TakeRound<SchemeOf, false>;
  if (done + 1 == RoundsOf(*segment.group)) return last(segment, round, encrypted);
  const auto shared =
      decrypt ? TakeAndBuild<SchemeOf, true, false> : TakeAndBuild<SchemeOf, false, false>;
  const auto own =
      decrypt ? TakeAndBuild<SchemeOf, true, true> : TakeAndBuild<SchemeOf, false, true>;
  (segment.group->own_tweaks ? own : shared)(segment, round, encrypted, blocks);
}

void BuildFirstRound(const Segment& segment, Direction direction, uint8_t* blocks) {
  const uint64_t round = RoundNumber(*segment.group, direction, 0);
  switch (segment.group->scheme) {
    case Scheme::kFf1Narrow:
      return BuildRound<Ff1Narrow>(segment, round, blocks);
    case Scheme::kFf1Wide:
      return BuildRound<Ff1Wide>(segment, round, blocks);
    case Scheme::kFf3_1:
      break;
  }
  BuildRound<Ff3>(segment, round, blocks);
}

const uint8_t* TweakOf(const Segment& segment, size_t at) {
  const FeistelGroup& group = *segment.group;
  return group.tweaks + (segment.first + at) * group.tweak_length;
}

}  // namespace

size_t WavesOf(const FeistelGroup& group) { return group.extra_waves + RoundsOf(group); }

void PreparePads(const Segment& segment) {
  const FeistelGroup& group = *segment.group;
  if (!group.own_tweaks || group.extra_waves != 0) return;
  for (size_t at = 0; at < segment.count; at++) {
    segment.pads[at] = group.PadOf(group.prefix.data(), TweakOf(segment, at));
  }
}

void BuildFirst(const Segment& segment, Direction direction, uint8_t* blocks) {
  const FeistelGroup& group = *segment.group;
  if (group.extra_waves == 0) return BuildFirstRound(segment, direction, blocks);
  // Alg. 6: the chain goes on from P with the own blocks of Q.
  for (size_t at = 0; at < segment.count; at++) {
    std::memcpy(blocks + 16 * at, group.prefix.data(), 16);
    group.AddTweakBlock(TweakOf(segment, at), 0, blocks + 16 * at);
  }
}

void Advance(const Segment& segment, Direction direction, size_t wave, const uint8_t* encrypted,
             uint8_t* blocks) {
  const FeistelGroup& group = *segment.group;
  if (wave < group.extra_waves) {
    const bool last = wave + 1 == group.extra_waves;
    for (size_t at = 0; at < segment.count; at++) {
      const uint8_t* tweak = TweakOf(segment, at);
      if (last) {
        segment.pads[at] = group.PadOf(encrypted + 16 * at, tweak);
      } else {
        std::memmove(blocks + 16 * at, encrypted + 16 * at, 16);
        group.AddTweakBlock(tweak, wave + 1, blocks + 16 * at);
      }
    }
    if (last) BuildFirstRound(segment, direction, blocks);
    return;
  }
  const size_t done = wave - group.extra_waves;
  switch (group.scheme) {
    case Scheme::kFf1Narrow:
      return AdvanceRound<Ff1Narrow>(segment, direction, done, encrypted, blocks);
    case Scheme::kFf1Wide:
      return AdvanceRound<Ff1Wide>(segment, direction, done, encrypted, blocks);
    case Scheme::kFf3_1:
      break;
  }
  AdvanceRound<Ff3>(segment, direction, done, encrypted, blocks);
}

}  // namespace keyrite
