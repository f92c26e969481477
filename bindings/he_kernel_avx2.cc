// The kernel for AVX2: factors of 52 bits in limbs of 26, so that a product of limbs fits the 32-bit
// multiplier and 2048 pairs of products fit a 64-bit sum.
#include "he_cpu.h"
#include "he_kernel.h"
#include "he_pack.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace keyrite {
namespace {

#if defined(__x86_64__)
#define KEYRITE_AVX2 __attribute__((target("avx2"), always_inline)) static inline

constexpr size_t kLanes = 4;
constexpr unsigned kLimb = 26;

// low + middle 2^26 + high 2^52.
struct Sum {
  __m256i low, middle, high;
};

KEYRITE_AVX2 __m256i LoadLanes(const uint64_t* words) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(words));
}

KEYRITE_AVX2 __m256i AddLanes(__m256i a, __m256i b) { return _mm256_add_epi64(a, b); }

// The multiplier ignores the upper half of a word, so that a low limb needs its upper bits cleared and a
// high limb is only shifted.
KEYRITE_AVX2 void AddProduct(Sum& sum, __m256i a, __m256i b) {
  const __m256i mask = _mm256_set1_epi64x((1LL << kLimb) - 1);
  const __m256i a_low = _mm256_and_si256(a, mask);
  const __m256i b_low = _mm256_and_si256(b, mask);
  const __m256i a_high = _mm256_srli_epi64(a, kLimb);
  const __m256i b_high = _mm256_srli_epi64(b, kLimb);
  sum.low = AddLanes(sum.low, _mm256_mul_epu32(a_low, b_low));
  sum.high = AddLanes(sum.high, _mm256_mul_epu32(a_high, b_high));
  sum.middle = AddLanes(sum.middle, _mm256_mul_epu32(a_low, b_high));
  sum.middle = AddLanes(sum.middle, _mm256_mul_epu32(a_high, b_low));
}

// x + y mod q of two residues.
KEYRITE_AVX2 __m256i AddResidues(__m256i x, __m256i y, __m256i modulus) {
  const __m256i sum = AddLanes(x, y);
  return _mm256_sub_epi64(sum, _mm256_andnot_si256(_mm256_cmpgt_epi64(modulus, sum), modulus));
}

KEYRITE_AVX2 void Spread(const Sum& sum, const Ring& ring, uint64_t* residues) {
  alignas(32) uint64_t low[kLanes], middle[kLanes], high[kLanes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(low), sum.low);
  _mm256_store_si256(reinterpret_cast<__m256i*>(middle), sum.middle);
  _mm256_store_si256(reinterpret_cast<__m256i*>(high), sum.high);
  for (size_t lane = 0; lane < kLanes; lane++) {
    residues[lane] = Reduce(
        low[lane] + (HeWide{middle[lane]} << kLimb) + (HeWide{high[lane]} << 2 * kLimb), ring);
  }
}

KEYRITE_AVX2 Sum Start(const uint64_t* block, const uint64_t* query) {
  const __m256i zero = _mm256_setzero_si256();
  return {AddLanes(LoadLanes(block), LoadLanes(query)), zero, zero};
}

__attribute__((target("avx2"))) void Multiply(const Ring& ring, size_t chunks,
                                              const uint64_t* block, const uint64_t* query,
                                              uint64_t* result) {
  const __m256i modulus = _mm256_set1_epi64x(static_cast<long long>(ring.modulus));
  Sum first = Start(block, query);
  Sum last = Start(block + kTile, query + kTile);
  Sum both = Start(block + 2 * kTile, query + 2 * kTile);
  const uint64_t* c = block + kHead;
  const uint64_t* q = query + kHead;
  for (size_t chunk = 0; chunk < chunks; chunk += 2) {
    const uint64_t* d = c + kBlockStep;
    const uint64_t* r = q + kQueryStep;
    const __m256i c0 = LoadLanes(c);
    const __m256i d0 = LoadLanes(d);
    AddProduct(first, AddLanes(c0, LoadLanes(r)), AddLanes(d0, LoadLanes(q)));
    const __m256i c1 = LoadLanes(c + kTile);
    const __m256i d1 = LoadLanes(d + kTile);
    AddProduct(last, AddLanes(c1, LoadLanes(r + kTile)), AddLanes(d1, LoadLanes(q + kTile)));
    AddProduct(both, AddLanes(AddResidues(c0, c1, modulus), LoadLanes(r + 2 * kTile)),
               AddLanes(AddResidues(d0, d1, modulus), LoadLanes(q + 2 * kTile)));
    c += 2 * kBlockStep;
    q += 2 * kQueryStep;
  }
  uint64_t middles[kLanes];
  Spread(first, ring, result);
  Spread(last, ring, result + 2 * kTile);
  Spread(both, ring, middles);
  for (size_t lane = 0; lane < kLanes; lane++) {
    const uint64_t less = result[lane] + result[2 * kTile + lane];
    result[kTile + lane] = ReduceWord(middles[lane] + 2 * ring.modulus - less, ring);
  }
}

void Run(const Pass& pass) {
  const Ring ring = *pass.ring;
  uint64_t* result = pass.results;
  for (size_t block = 0; block < pass.block_count; block++) {
    for (size_t query = 0; query < pass.query_count; query++) {
      for (size_t half = 0; half < kTile; half += kLanes) {
        Multiply(ring, pass.chunks, pass.blocks[block] + half, pass.queries[query] + half,
                 result + half);
      }
      result += kResultStep;
    }
  }
}
#else
void Run(const Pass& pass) { kPortableKernel.run(pass); }
#endif

void MakeHead(const Ring& ring, size_t chunks, size_t step, uint64_t* segment) {
  kPortableKernel.make_head(ring, chunks, step, segment);
}

size_t ReduceWords(const Ring& ring, uint64_t limit, uint64_t* words, size_t count) {
  return kPortableKernel.reduce(ring, limit, words, count);
}

}  // namespace

const Kernel kAvx2Kernel = {"avx2", HasAvx2, Run, MakeHead, ReduceWords, PackSums, Lanes::kFour};

}  // namespace keyrite
