#include "he_pack.h"

#include "he_kernel.h"
#include "he_residues.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace keyrite {

// A tile is ring.bits whole bytes, so that threads with tiles side by side share none.
void PackSums(const Ring& ring, size_t tile, const uint64_t* sums, size_t count,
              uint8_t* const* results) {
  for (size_t query = 0; query < count; query++) {
    uint8_t* to = results[query] + tile * ring.bits;
    for (size_t part = 0; part < kResultStep; part += kTile, to += ring.PackedBytes()) {
      PackResidues(sums + query * kResultStep + part, kTile, ring.bits, to);
    }
  }
}

#if defined(__x86_64__)
// Eight residues of 51 bits are 51 bytes: six words of 64 bits and a seventh that ends with the last
// byte. A word begins within one residue and has bits of the next and, rarely, of the one after that.
// A shift by 64 or more leaves nothing.
__attribute__((target("avx512f"))) void PackSumsAvx512(const Ring& ring, size_t tile,
                                                       const uint64_t* sums, size_t count,
                                                       uint8_t* const* results) {
  static_assert(kRingBits == 51);
  constexpr __mmask8 kAll = 0xff;
  constexpr unsigned kEnd = kRingBits - 8;
  // Residue j begins at bit 51 j; word i at bit 64 i, the seventh at 8 kEnd.
  const __m512i first = _mm512_set_epi64(7, 8 * kEnd / 51, 6, 5, 3, 2, 1, 0);
  const __m512i before = _mm512_set_epi64(0, 8 * kEnd % 51, 14, 1, 39, 26, 13, 0);
  const __m512i second = _mm512_add_epi64(first, _mm512_set1_epi64(1));
  const __m512i third = _mm512_add_epi64(first, _mm512_set1_epi64(2));
  const __m512i to_second = _mm512_sub_epi64(_mm512_set1_epi64(kRingBits), before);
  const __m512i to_third = _mm512_sub_epi64(_mm512_set1_epi64(2 * kRingBits), before);
  for (size_t query = 0; query < count; query++) {
    uint8_t* to = results[query] + tile * kRingBits;
    for (size_t part = 0; part < kResultStep; part += kTile, to += ring.PackedBytes()) {
      const __m512i words = _mm512_load_si512(sums + query * kResultStep + part);
      const __m512i a = _mm512_maskz_permutexvar_epi64(kAll, first, words);
      const __m512i b = _mm512_maskz_permutexvar_epi64(kAll, second, words);
      const __m512i c = _mm512_maskz_permutexvar_epi64(kAll, third, words);
      const __m512i packed =
          _mm512_or_si512(_mm512_or_si512(_mm512_maskz_srlv_epi64(kAll, a, before),
                                          _mm512_maskz_sllv_epi64(kAll, b, to_second)),
                          _mm512_maskz_sllv_epi64(kAll, c, to_third));
      const __m256i lower = _mm512_maskz_extracti64x4_epi64(kAll, packed, 0);
      const __m256i upper = _mm512_maskz_extracti64x4_epi64(kAll, packed, 1);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), lower);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 32), _mm256_castsi256_si128(upper));
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to + kEnd), _mm256_extracti128_si256(upper, 1));
    }
  }
}
#else
void PackSumsAvx512(const Ring& ring, size_t tile, const uint64_t* sums, size_t count,
                    uint8_t* const* results) {
  PackSums(ring, tile, sums, count, results);
}
#endif

}  // namespace keyrite
