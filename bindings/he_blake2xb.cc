// BLAKE2b (RFC 7693) and BLAKE2X (Aumasson, Neves, Wilcox-O'Hearn, Winnerlein, 2016). The blocks of
// the output depend on the root hash and their number only, so a vector register makes several.
#include "he_blake2xb.h"

#include <cstring>

namespace keyrite {
namespace {

#define KEYRITE_INLINE __attribute__((always_inline)) inline

constexpr size_t kOutputBytes = kBlake2xbWords * sizeof(uint64_t);
constexpr size_t kHashWords = 8;

// RFC 7693 §2.6.
constexpr uint64_t kIv[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
                             0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f,
                             0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

// RFC 7693 §2.7; rounds 10 and 11 use rows 0 and 1 again (§3.2).
constexpr uint8_t kSigma[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3}};

template <unsigned kBits, typename V>
KEYRITE_INLINE void XorRotate(V& word, const V& other) {
  const V mixed = word ^ other;
  word = mixed >> kBits | mixed << (64 - kBits);
}

// RFC 7693 §3.1.
template <typename V>
KEYRITE_INLINE void Mix(V& a, V& b, V& c, V& d, const uint64_t x, const uint64_t y) {
  a += b + x;
  XorRotate<32>(d, a);
  c += d;
  XorRotate<24>(b, c);
  a += b + y;
  XorRotate<16>(d, a);
  c += d;
  XorRotate<63>(b, c);
}

// RFC 7693 §3.2: `hash` after one block. V is a word, or a vector of words of several hashes that
// take the same block.
template <typename V>
KEYRITE_INLINE void Compress(V* hash, const uint64_t* m, uint64_t length, bool last) {
  V v[16];
  for (size_t at = 0; at < 8; at++) {
    v[at] = hash[at];
    v[8 + at] = V{} + kIv[at];
  }
  v[12] ^= length;
  if (last) v[14] = ~v[14];
#pragma GCC unroll 12
  for (size_t round = 0; round < 12; round++) {
    const uint8_t* s = kSigma[round];
    Mix(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
    Mix(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
    Mix(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
    Mix(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
    Mix(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
    Mix(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
    Mix(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
    Mix(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
  }
  for (size_t at = 0; at < 8; at++) hash[at] ^= v[at] ^ v[8 + at];
}

// The parameter block, RFC 7693 §2.5 with the fields of BLAKE2X §2: 8 bits each of digest length, key
// length, fanout, depth, 32 of leaf length; 32 of node offset, 32 of output length; node depth, inner
// length.
constexpr uint64_t kLeafHead = 64 | uint64_t{64} << 32;
constexpr uint64_t kRootHead = 64 | 64 << 8 | 1 << 16 | 1 << 24;
constexpr uint64_t kInnerLength = 64 << 8;
constexpr uint64_t kOutputLength = uint64_t{kOutputBytes} << 32;

// BLAKE2X §2.1, second step: block i is the hash of the root with node offset i.
template <typename V>
KEYRITE_INLINE void Leaves(const uint64_t* root, uint64_t* output) {
  constexpr size_t kLanes = sizeof(V) / sizeof(uint64_t);
  uint64_t block[16] = {};
  std::memcpy(block, root, 64);
  for (size_t first = 0; first < kBlake2xbWords / kHashWords; first += kLanes) {
    uint64_t words[kHashWords][kLanes];
    V hash[kHashWords];
    for (size_t word = 0; word < kHashWords; word++) {
      for (size_t lane = 0; lane < kLanes; lane++) words[word][lane] = kIv[word];
    }
    for (size_t lane = 0; lane < kLanes; lane++) {
      words[0][lane] ^= kLeafHead;
      words[1][lane] ^= kOutputLength | (first + lane);
      words[2][lane] ^= kInnerLength;
    }
    std::memcpy(hash, words, sizeof(words));
    Compress(hash, block, 64, true);
    std::memcpy(words, hash, sizeof(words));
    for (size_t lane = 0; lane < kLanes; lane++) {
      for (size_t word = 0; word < kHashWords; word++) {
        output[(first + lane) * kHashWords + word] = words[word][lane];
      }
    }
  }
}

#if defined(__x86_64__)
typedef uint64_t Lanes4 __attribute__((vector_size(32)));
typedef uint64_t Lanes8 __attribute__((vector_size(64)));

__attribute__((target("avx2"))) void LeavesAvx2(const uint64_t* root, uint64_t* output) {
  Leaves<Lanes4>(root, output);
}

__attribute__((target("avx512f"))) void LeavesAvx512(const uint64_t* root, uint64_t* output) {
  Leaves<Lanes8>(root, output);
}
#endif

}  // namespace

// BLAKE2X §2.1, first step: the hash of key and message; RFC 7693 §3.3: the key is the first block.
Blake2xbKey::Blake2xbKey(const uint8_t* key) {
  std::memcpy(hash_, kIv, sizeof(kIv));
  hash_[0] ^= kRootHead;
  hash_[1] ^= kOutputLength;
  uint64_t block[16] = {};
  std::memcpy(block, key, 64);
  Compress(hash_, block, sizeof(block), false);
}

void Blake2xbKey::Output(uint64_t message, Lanes lanes, uint64_t* output) const {
  uint64_t root[kHashWords];
  std::memcpy(root, hash_, sizeof(root));
  const uint64_t block[16] = {message};
  Compress(root, block, sizeof(block) + sizeof(message), true);
#if defined(__x86_64__)
  if (lanes == Lanes::kEight) return LeavesAvx512(root, output);
  if (lanes == Lanes::kFour) return LeavesAvx2(root, output);
#endif
  (void)lanes;
  Leaves<uint64_t>(root, output);
}

}  // namespace keyrite
