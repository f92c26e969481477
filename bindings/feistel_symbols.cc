// No branch, division or look-up depends on a symbol: characters are mapped by comparing with all
// runs, digits of other radixes come from reciprocal multiplication, decimal digits eight at a time
// within a word. Whether a record was valid is learnt from a mask at the end of the segment.
#include "feistel_symbols.h"

#include <algorithm>
#include <type_traits>

#include "secret.h"

namespace keyrite {
namespace {

// --- Numerals of any radix ---

template <typename Symbol>
uint64_t Horner(const Symbol* at, ptrdiff_t step, uint32_t count, uint64_t radix, uint64_t* bad) {
  uint64_t number = 0;
  for (uint32_t done = 0; done < count; done++, at += step) {
    const uint64_t numeral = *at;
    *bad |= (radix - 1 - numeral) >> 63;
    number = number * radix + numeral;
  }
  return number;
}

// `at` is the last numeral written first, `step` leads to the more significant ones.
template <typename Symbol>
void Digits(uint64_t number, Symbol* at, ptrdiff_t step, uint32_t count,
            DigitDivisor radix) {
  for (uint32_t done = 0; done < count; done++, at += step) {
    *at = static_cast<Symbol>(radix.Take(&number));
  }
}

// FF3-1 reads a part from its end: NUM(REV(X)) (Alg. 9 step 4.iii and 4.iv).
template <bool kReversed, typename Symbol, typename Half>
Half ParseHalf(const Symbol* symbols, const HalfShape& half, uint64_t radix, uint64_t* bad) {
  const ptrdiff_t step = kReversed ? -1 : 1;
  const Symbol* top = kReversed ? symbols + half.symbols - 1 : symbols;
  if constexpr (std::is_same_v<Half, uint32_t>) {
    return static_cast<uint32_t>(Horner(top, step, half.symbols, radix, bad));
  } else {
    const uint32_t high = half.symbols - half.low;
    const uint64_t upper = Horner(top, step, high, radix, bad);
    const uint64_t lower =
        Horner(top + step * static_cast<ptrdiff_t>(high), step, half.low, radix, bad);
    return half.split.number * upper + lower;
  }
}

template <bool kReversed, typename Symbol, typename Half>
void FormatHalf(Half number, Symbol* symbols, const HalfShape& half, const DigitDivisor& radix) {
  const ptrdiff_t step = kReversed ? 1 : -1;
  Symbol* bottom = kReversed ? symbols : symbols + half.symbols - 1;
  if constexpr (std::is_same_v<Half, uint32_t>) {
    Digits(number, bottom, step, half.symbols, radix);
  } else {
    Wide upper;
    const Wide lower = half.split.Divide(number, &upper);
    Digits(static_cast<uint64_t>(lower), bottom, step, half.low, radix);
    Digits(static_cast<uint64_t>(upper), bottom + step * static_cast<ptrdiff_t>(half.low), step,
           half.symbols - half.low, radix);
  }
}

// --- Decimal digits, eight in a word, the first in the lowest byte ---

constexpr uint32_t kLane = 8;
constexpr uint64_t kAsciiZeros = 0x3030303030303030;
constexpr Divisor<uint64_t> kTenTo8{100000000};
constexpr Divisor<Wide> kTenTo16{Wide{10000000000000000}};

uint64_t LoadLane(const uint8_t* at, uint32_t count, const uint8_t* end) {
  if (end - at >= kLane) return Load64(at);
  uint64_t word = 0;
  std::memcpy(&word, at, count);
  return word;
}

// May write past `count` bytes, but not past `end`.
void StoreLane(uint8_t* at, uint64_t word, uint32_t count, const uint8_t* end) {
  if (end - at >= kLane) {
    Store64(at, word);
  } else {
    std::memcpy(at, &word, count);
  }
}

uint64_t LaneValue(uint64_t word, uint64_t* bad) {
  // A byte above 9 reaches the top bit, alone or with 0x76 added; a carry out of it comes only
  // from a byte that has the bit already.
  *bad |= ((word + 0x7676767676767676) | word) & 0x8080808080808080;
  word = ((word * 10) + (word >> 8)) & 0x00ff00ff00ff00ff;
  word = ((word * 100) + (word >> 16)) & 0x0000ffff0000ffff;
  return ((word * 10000) + (word >> 32)) & 0x00000000ffffffff;
}

uint64_t LaneDigits(uint64_t value) {
  // 109951163 / 2^40 is 1 / 10^4 rounded up: exact below 10^8. Likewise 10486 / 2^20 below 10^4
  // and 103 / 2^10 below 100.
  const uint64_t fours = (value * 109951163) >> 40;
  uint64_t word = fours | (value - fours * 10000) << 32;
  const uint64_t twos = ((word * 10486) >> 20) & 0x0000007f0000007f;
  word = twos | (word - twos * 100) << 16;
  const uint64_t ones = ((word * 103) >> 10) & 0x000f000f000f000f;
  return ones | (word - ones * 10) << 8;
}

// Digits in the first and, but for that one, eight in each lane.
uint32_t TopDigits(uint32_t digits) { return (digits - 1) % kLane + 1; }

// The value of `count` digits at `at`, at most eight.
template <bool kReversed>
uint64_t ParseLane(const uint8_t* at, uint32_t count, uint64_t zeros, const uint8_t* end,
                   uint64_t* bad) {
  const uint32_t shift = 8 * (kLane - count);
  uint64_t word = (LoadLane(at, count, end) ^ zeros) << shift;
  if (kReversed) word = __builtin_bswap64(word) << shift;
  return LaneValue(word, bad);
}

template <bool kReversed>
void FormatLane(uint64_t value, uint8_t* at, uint32_t count, uint64_t zeros, const uint8_t* end) {
  const uint64_t word = LaneDigits(value);
  const uint64_t ordered = kReversed ? __builtin_bswap64(word) : word >> (8 * (kLane - count));
  StoreLane(at, ordered ^ zeros, count, end);
}

template <bool kReversed, typename Half>
Half ParseDecimal(const uint8_t* symbols, uint32_t digits, uint64_t zeros, const uint8_t* end,
                  uint64_t* bad) {
  using Sum = std::conditional_t<std::is_same_v<Half, uint32_t>, uint64_t, Wide>;
  Sum number = 0;
  uint32_t count = TopDigits(digits);
  for (uint32_t done = 0; done < digits; done += count, count = kLane) {
    const uint8_t* at = symbols + (kReversed ? digits - done - count : done);
    number = number * 100000000 + ParseLane<kReversed>(at, count, zeros, end, bad);
  }
  return static_cast<Half>(number);
}

template <bool kReversed, typename Half>
void FormatDecimal(Half number, uint8_t* symbols, uint32_t digits, uint64_t zeros,
                   const uint8_t* end) {
  // Least significant first.
  uint64_t lanes[4];
  if constexpr (std::is_same_v<Half, uint32_t>) {
    lanes[0] = kTenTo8.Divide(number, &lanes[1]);
  } else {
    Wide upper = 0;
    Wide lower = number;
    if (digits > 2 * kLane) lower = kTenTo16.Divide(number, &upper);
    lanes[0] = kTenTo8.Divide(static_cast<uint64_t>(lower), &lanes[1]);
    lanes[2] = kTenTo8.Divide(static_cast<uint64_t>(upper), &lanes[3]);
  }
  const uint32_t top = (digits - 1) / kLane;
  for (uint32_t at = 0; at <= top; at++) {
    const uint32_t lane = kReversed ? at : top - at;
    const uint32_t count = lane == top ? TopDigits(digits) : kLane;
    FormatLane<kReversed>(lanes[lane], symbols, count, zeros, end);
    symbols += count;
  }
}

// --- Characters ---

constexpr size_t kStretch = 64;  // characters mapped at a time

void StretchToNumerals(const uint8_t* characters, uint8_t* numerals,
                       const std::vector<CharacterRun>& runs, uint64_t* bad) {
  uint8_t sum[kStretch] = {};
  uint8_t known[kStretch] = {};
  for (const CharacterRun& run : runs) {
    for (size_t at = 0; at < kStretch; at++) {
      const uint8_t offset = static_cast<uint8_t>(characters[at] - run.first);
      const uint8_t inside = offset < run.count ? 0xff : 0;
      sum[at] = static_cast<uint8_t>(sum[at] | (inside & (offset + run.start)));
      known[at] |= inside;
    }
  }
  uint8_t all = 0xff;
  for (size_t at = 0; at < kStretch; at++) all &= known[at];
  *bad |= static_cast<uint64_t>(all) ^ 0xff;
  std::memcpy(numerals, sum, kStretch);
}

void StretchToCharacters(const uint8_t* numerals, uint8_t* characters,
                         const std::vector<CharacterRun>& runs) {
  uint8_t sum[kStretch] = {};
  for (const CharacterRun& run : runs) {
    for (size_t at = 0; at < kStretch; at++) {
      const uint8_t offset = static_cast<uint8_t>(numerals[at] - run.start);
      const uint8_t inside = offset < run.count ? 0xff : 0;
      sum[at] = static_cast<uint8_t>(sum[at] | (inside & (offset + run.first)));
    }
  }
  std::memcpy(characters, sum, kStretch);
}

// Calls `map(from, to)` on stretches; the last one is padded with `filler`.
template <typename Map>
void EachStretch(const uint8_t* from, uint8_t* to, size_t length, uint8_t filler, Map map) {
  size_t at = 0;
  for (; at + kStretch <= length; at += kStretch) map(from + at, to + at);
  if (at == length) return;
  uint8_t last[kStretch];
  std::memset(last, filler, sizeof last);
  std::memcpy(last, from + at, length - at);
  map(last, last);
  std::memcpy(to + at, last, length - at);
}

// --- Segments ---

template <bool kReversed, typename Half>
class Symbolizer {
 public:
  explicit Symbolizer(const Segment& segment)
      : segment_(segment),
        group_(*segment.group),
        left_(segment.HalfOf<Half>(0)),
        right_(segment.HalfOf<Half>(1)) {}

  // Of `count` records from record `at` of the segment: not 0 when a symbol is unknown.
  uint64_t Parse(size_t at, size_t count) const {
    const uint8_t* input = group_.input + (segment_.first + at) * group_.RecordBytes();
    switch (group_.symbols) {
      case Symbols::kBytes:
        return ParseNumerals(input, at, count);
      case Symbols::kWords:
        return ParseNumerals(reinterpret_cast<const uint16_t*>(input), at, count);
      case Symbols::kDecimalBytes:
        return ParseDigits(input, at, count, 0);
      case Symbols::kDecimalCharacters:
        return ParseDigits(input, at, count, kAsciiZeros);
      case Symbols::kCharacters:
        break;
    }
    return ParseCharacters(input, at, count);
  }

  void Format() const {
    uint8_t* output = group_.output + segment_.first * group_.RecordBytes();
    switch (group_.symbols) {
      case Symbols::kBytes:
        return FormatNumerals(output);
      case Symbols::kWords:
        return FormatNumerals(reinterpret_cast<uint16_t*>(output));
      case Symbols::kDecimalBytes:
        return FormatDigits(output, 0);
      case Symbols::kDecimalCharacters:
        return FormatDigits(output, kAsciiZeros);
      case Symbols::kCharacters:
        break;
    }
    FormatNumerals(output);
    const auto map = [this](const uint8_t* from, uint8_t* to) {
      StretchToCharacters(from, to, group_.runs);
    };
    EachStretch(output, output, segment_.count * group_.length, 0, map);
  }

 private:
  uint64_t ParseDigits(const uint8_t* input, size_t at, size_t count, uint64_t zeros) const {
    const uint8_t* end = input + count * group_.length;
    const uint32_t u = group_.halves[0].symbols, v = group_.halves[1].symbols;
    uint64_t bad = 0;
    const size_t stop = at + count;
    if (u <= kLane && v <= kLane) {
      for (; at < stop; at++, input += u + v) {
        left_[at] = static_cast<Half>(ParseLane<kReversed>(input, u, zeros, end, &bad));
        right_[at] = static_cast<Half>(ParseLane<kReversed>(input + u, v, zeros, end, &bad));
      }
    }
    for (; at < stop; at++, input += u + v) {
      left_[at] = ParseDecimal<kReversed, Half>(input, u, zeros, end, &bad);
      right_[at] = ParseDecimal<kReversed, Half>(input + u, v, zeros, end, &bad);
    }
    return bad;
  }

  template <typename Symbol>
  uint64_t ParseNumerals(const Symbol* input, size_t at, size_t count) const {
    uint64_t bad = 0;
    const HalfShape& left = group_.halves[0];
    const HalfShape& right = group_.halves[1];
    for (size_t stop = at + count; at < stop; at++, input += group_.length) {
      left_[at] = ParseHalf<kReversed, Symbol, Half>(input, left, group_.radix, &bad);
      right_[at] =
          ParseHalf<kReversed, Symbol, Half>(input + left.symbols, right, group_.radix, &bad);
    }
    return bad;
  }

  uint64_t ParseCharacters(const uint8_t* input, size_t at, size_t count) const {
    uint8_t numerals[kCharactersAtOnce];
    uint64_t bad = 0;
    const auto map = [this, &bad](const uint8_t* from, uint8_t* to) {
      StretchToNumerals(from, to, group_.runs, &bad);
    };
    const size_t fit = group_.records_at_once;
    for (size_t done = 0; done < count; done += fit) {
      const size_t some = std::min(fit, count - done);
      EachStretch(input + done * group_.length, numerals, some * group_.length,
                  group_.runs[0].first, map);
      bad |= ParseNumerals(numerals, at + done, some);
    }
    Wipe(numerals, sizeof numerals);
    return bad;
  }

  void FormatDigits(uint8_t* output, uint64_t zeros) const {
    const uint8_t* end = output + segment_.count * group_.length;
    const uint32_t u = group_.halves[0].symbols, v = group_.halves[1].symbols;
    size_t at = 0;
    if (u <= kLane && v <= kLane) {
      for (; at < segment_.count; at++, output += u + v) {
        FormatLane<kReversed>(static_cast<uint64_t>(left_[at]), output, u, zeros, end);
        FormatLane<kReversed>(static_cast<uint64_t>(right_[at]), output + u, v, zeros, end);
      }
    }
    for (; at < segment_.count; at++, output += u + v) {
      FormatDecimal<kReversed>(left_[at], output, u, zeros, end);
      FormatDecimal<kReversed>(right_[at], output + u, v, zeros, end);
    }
  }

  template <typename Symbol>
  void FormatNumerals(Symbol* output) const {
    const HalfShape& left = group_.halves[0];
    const HalfShape& right = group_.halves[1];
    for (size_t at = 0; at < segment_.count; at++, output += group_.length) {
      FormatHalf<kReversed>(left_[at], output, left, group_.digit);
      FormatHalf<kReversed>(right_[at], output + left.symbols, right, group_.digit);
    }
  }

  const Segment& segment_;
  const FeistelGroup& group_;
  Half* left_;
  Half* right_;
};

template <bool kReversed, typename Half>
size_t ParseAll(const Segment& segment) {
  const Symbolizer<kReversed, Half> symbols(segment);
  if (symbols.Parse(0, segment.count) == 0) return segment.count;
  size_t at = 0;
  while (at < segment.count && symbols.Parse(at, 1) == 0) at++;
  return at;
}

}  // namespace

size_t ParseSegment(const Segment& segment) {
  switch (segment.group->scheme) {
    case Scheme::kFf1Narrow:
      return ParseAll<false, uint32_t>(segment);
    case Scheme::kFf1Wide:
      return ParseAll<false, Wide>(segment);
    case Scheme::kFf3_1:
      break;
  }
  return ParseAll<true, Wide>(segment);
}

void FormatSegment(const Segment& segment) {
  switch (segment.group->scheme) {
    case Scheme::kFf1Narrow:
      return Symbolizer<false, uint32_t>(segment).Format();
    case Scheme::kFf1Wide:
      return Symbolizer<false, Wide>(segment).Format();
    case Scheme::kFf3_1:
      break;
  }
  Symbolizer<true, Wide>(segment).Format();
}

}  // namespace keyrite
