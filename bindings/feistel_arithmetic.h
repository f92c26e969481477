// Integers of the Feistel rounds, and reduction modulo radix^m without division: the quotient is
// estimated with a precomputed reciprocal (Barrett), the error of at most one is taken out with a
// mask. No branch, division or look-up here depends on a value; moduli and lengths are public.
#ifndef KEYRITE_FEISTEL_ARITHMETIC_H
#define KEYRITE_FEISTEL_ARITHMETIC_H

#include <cstdint>
#include <cstring>

namespace keyrite {

__extension__ typedef unsigned __int128 Wide;

inline uint64_t Load64(const uint8_t* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

inline void Store64(uint8_t* bytes, uint64_t word) { std::memcpy(bytes, &word, sizeof word); }

// Little-endian machines only (src/addon.ts refuses others).
inline uint64_t LoadBigEndian64(const uint8_t* bytes) { return __builtin_bswap64(Load64(bytes)); }

// The upper half of the product.
inline uint64_t MultiplyHigh(uint64_t a, uint64_t b) {
  return static_cast<uint64_t>((static_cast<Wide>(a) * b) >> 64);
}

inline Wide MultiplyHigh(Wide a, Wide b) {
  const uint64_t a0 = static_cast<uint64_t>(a), a1 = static_cast<uint64_t>(a >> 64);
  const uint64_t b0 = static_cast<uint64_t>(b), b1 = static_cast<uint64_t>(b >> 64);
  const Wide low = static_cast<Wide>(a0) * b0;
  const Wide one = static_cast<Wide>(a1) * b0;
  const Wide two = static_cast<Wide>(a0) * b1;
  const Wide middle = (low >> 64) + static_cast<uint64_t>(one) + static_cast<uint64_t>(two);
  return static_cast<Wide>(a1) * b1 + (one >> 64) + (two >> 64) + (middle >> 64);
}

// x - modulus if x >= modulus, else x; both below half of the word.
template <typename Word>
inline Word SubtractOnce(Word x, Word modulus) {
  const Word difference = x - modulus;
  const Word borrowed = Word{0} - (difference >> (8 * sizeof(Word) - 1));
  return difference + (modulus & borrowed);
}

// A public number and floor((2^w - 1) / number). For x < 2^w the estimate
// q = floor(x * reciprocal / 2^w) is floor(x / number) or one less:
// 2^w - number * reciprocal <= number, so x / number - x * reciprocal / 2^w <= x / 2^w < 1.
template <typename Word>
struct Divisor {
  Word number = 1;
  Word reciprocal = 0;

  constexpr Divisor() = default;
  constexpr explicit Divisor(Word divisor) : number(divisor), reciprocal(~Word{0} / divisor) {}

  // x mod number, or that plus number.
  Word NearlyReduce(Word x) const { return x - MultiplyHigh(x, reciprocal) * number; }

  // The remainder; `quotient` is set.
  Word Divide(Word x, Word* quotient) const {
    const Word estimate = MultiplyHigh(x, reciprocal);
    const Word rest = x - estimate * number;
    const Word reduced = rest - number;
    const Word borrow = reduced >> (8 * sizeof(Word) - 1);
    *quotient = estimate + 1 - borrow;
    return reduced + (number & (Word{0} - borrow));
  }
};

// Takes digits off a number below 2^56. With 2^s < radix <= 2^(s+1) and
// reciprocal = ceil(2^(64+s) / radix), x * reciprocal / 2^(64+s) exceeds x / radix by less than
// x / 2^(64+s) < 1 / radix, so the floors are equal.
struct DigitDivisor {
  uint64_t radix = 2;
  uint64_t reciprocal = uint64_t{1} << 63;
  unsigned shift = 0;

  constexpr DigitDivisor() = default;
  constexpr explicit DigitDivisor(uint64_t of) : radix(of) {
    while (radix > uint64_t{2} << shift) shift++;
    reciprocal = static_cast<uint64_t>(((Wide{1} << (64 + shift)) + radix - 1) / radix);
  }

  // The remainder; `number` becomes the quotient.
  uint64_t Take(uint64_t* number) const {
    const uint64_t quotient = MultiplyHigh(*number, reciprocal) >> shift;
    const uint64_t rest = *number - quotient * radix;
    *number = quotient;
    return rest;
  }
};

// (x + y) mod number, or (x - y) mod number. x < number <= 2^(w/2+32), any y.
template <bool kSubtract, typename Word>
inline Word AddModulo(Word x, Word y, const Divisor<Word>& modulus) {
  const Word rest = modulus.NearlyReduce(y);  // < 2 number
  const Word sum = kSubtract ? x + 2 * modulus.number - rest : x + rest;  // < 3 number
  return SubtractOnce(SubtractOnce(sum, modulus.number), modulus.number);
}

}  // namespace keyrite

#endif
