// The kernel for AVX-512 IFMA: vpmadd52 adds the low and the high 52 bits of a product to 64-bit sums,
// which have room for 4096 of them.
#include "he_cpu.h"
#include "he_kernel.h"
#include "he_pack.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace keyrite {
namespace {

#if defined(__x86_64__)
#define KEYRITE_IFMA __attribute__((target("avx512f,avx512ifma"), always_inline)) static inline

#define KEYRITE_IFMA_CALL __attribute__((target("avx512f,avx512ifma"), noinline)) static

constexpr unsigned kHalf = 52;

// low + high 2^52.
struct Sum {
  __m512i low, high;
};

// One third of a product of two ciphertexts for each pair of a block and a query.
struct Sums {
  Sum first, both, last;
};

KEYRITE_IFMA __m512i LoadLanes(const uint64_t* words) { return _mm512_load_si512(words); }

KEYRITE_IFMA void AddProduct(Sum& sum, __m512i a, __m512i b) {
  sum.low = _mm512_madd52lo_epu64(sum.low, a, b);
  sum.high = _mm512_madd52hi_epu64(sum.high, a, b);
}

// All lanes. The masked forms compile to the plain ones, which make GCC 12 warn of its own header.
constexpr __mmask8 kAll = 0xff;

KEYRITE_IFMA __m512i Upper(__m512i number) {
  return _mm512_maskz_srli_epi64(kAll, number, kHalf);
}

// number - multiple where that is not negative.
KEYRITE_IFMA __m512i Below(__m512i number, __m512i multiple) {
  return _mm512_maskz_min_epu64(kAll, number, _mm512_sub_epi64(number, multiple));
}

// A constant factor w with floor(w 2^52 / q): Shoup's modular multiplication needs no division.
struct Factor {
  __m512i value, quotient;
};

struct Reducer {
  __m512i modulus, twice, mask;
  Factor two52, two104;
};

KEYRITE_IFMA Factor MakeFactor(unsigned power, const Ring& ring) {
  const uint64_t value = Reduce(HeWide{1} << power, ring);
  const uint64_t quotient = static_cast<uint64_t>((HeWide{value} << kHalf) / ring.modulus);
  return {_mm512_set1_epi64(static_cast<long long>(value)),
          _mm512_set1_epi64(static_cast<long long>(quotient))};
}

KEYRITE_IFMA Reducer MakeReducer(const Ring& ring) {
  const auto modulus = static_cast<long long>(ring.modulus);
  return {_mm512_set1_epi64(modulus), _mm512_set1_epi64(2 * modulus),
          _mm512_set1_epi64((1LL << kHalf) - 1), MakeFactor(kHalf, ring),
          MakeFactor(2 * kHalf, ring)};
}

// number w mod q for a number of 52 bits: the estimated quotient is at most one too small.
KEYRITE_IFMA __m512i MultiplyFactor(const Reducer& by, __m512i number, const Factor& factor) {
  const __m512i zero = _mm512_setzero_si512();
  const __m512i quotient = _mm512_madd52hi_epu64(zero, number, factor.quotient);
  const __m512i product = _mm512_madd52lo_epu64(zero, number, factor.value);
  const __m512i rest = _mm512_sub_epi64(product, _mm512_madd52lo_epu64(zero, quotient, by.modulus));
  return Below(_mm512_and_si512(rest, by.mask), by.modulus);
}

// Carries 12 bits of the low sum over; what the high one then has above 52 bits stands for 2^104.
KEYRITE_IFMA __m512i Canonical(const Reducer& by, const Sum& sum) {
  const __m512i carried = _mm512_add_epi64(sum.high, Upper(sum.low));
  const __m512i middle = MultiplyFactor(by, _mm512_and_si512(carried, by.mask), by.two52);
  const __m512i top = MultiplyFactor(by, Upper(carried), by.two104);
  __m512i low = _mm512_and_si512(sum.low, by.mask);
  // 2^52 is at most 4 q: the ring has 51 bits.
  low = Below(Below(low, by.twice), by.modulus);
  return Below(Below(_mm512_add_epi64(_mm512_add_epi64(low, middle), top), by.twice), by.modulus);
}

KEYRITE_IFMA_CALL void Store(const Reducer& by, const Sums& sums, uint64_t* result) {
  const __m512i first = Canonical(by, sums.first);
  const __m512i last = Canonical(by, sums.last);
  __m512i both = _mm512_add_epi64(Canonical(by, sums.both), by.twice);
  both = _mm512_sub_epi64(_mm512_sub_epi64(both, first), last);
  _mm512_store_si512(result, first);
  _mm512_store_si512(result + kTile, Below(Below(both, by.twice), by.modulus));
  _mm512_store_si512(result + 2 * kTile, last);
}

// The residue of a + b of two residues.
KEYRITE_IFMA __m512i AddResidues(__m512i a, __m512i b, __m512i modulus) {
  return Below(_mm512_add_epi64(a, b), modulus);
}

KEYRITE_IFMA Sum Start(const uint64_t* block, const uint64_t* query) {
  return {_mm512_add_epi64(LoadLanes(block), LoadLanes(query)), _mm512_setzero_si512()};
}

// One of the three sums takes two chunks: x are those of the blocks, y those of the queries.
template <size_t kBlocks, size_t kQueries, typename Sums>
KEYRITE_IFMA void AddPair(Sums& sums, const __m512i (&x1)[kBlocks], const __m512i (&x2)[kBlocks],
                          const uint64_t* const (&queries)[kQueries], size_t offset) {
#pragma GCC unroll 4
  for (size_t q = 0; q < kQueries; q++) {
    const __m512i y1 = LoadLanes(queries[q] + offset);
    const __m512i y2 = LoadLanes(queries[q] + offset + kQueryStep);
#pragma GCC unroll 4
    for (size_t b = 0; b < kBlocks; b++) {
      AddProduct(sums[b][q], _mm512_add_epi64(x1[b], y2), _mm512_add_epi64(x2[b], y1));
    }
  }
}

// kBlocks by kQueries at once, as many as the registers hold. Apart from the reduction, whose constants
// would push sums out of them.
template <size_t kBlocks, size_t kQueries>
KEYRITE_IFMA_CALL void AddUp(const Pass& pass, size_t block, size_t query, Sums* result) {
  const __m512i modulus = _mm512_set1_epi64(static_cast<long long>(pass.ring->modulus));
  const uint64_t* blocks[kBlocks];
  const uint64_t* queries[kQueries];
  for (size_t b = 0; b < kBlocks; b++) blocks[b] = pass.blocks[block + b];
  for (size_t q = 0; q < kQueries; q++) queries[q] = pass.queries[query + q];
  Sum first[kBlocks][kQueries], last[kBlocks][kQueries], both[kBlocks][kQueries];
  for (size_t b = 0; b < kBlocks; b++) {
    for (size_t q = 0; q < kQueries; q++) {
      first[b][q] = Start(blocks[b], queries[q]);
      last[b][q] = Start(blocks[b] + kTile, queries[q] + kTile);
      both[b][q] = Start(blocks[b] + 2 * kTile, queries[q] + 2 * kTile);
    }
  }
  for (size_t chunk = 0; chunk < pass.chunks; chunk += 2) {
    const size_t at = kHead + chunk * kBlockStep;
    const size_t offset = kHead + chunk * kQueryStep;
    __m512i c0[kBlocks], c1[kBlocks], d0[kBlocks], d1[kBlocks];
#pragma GCC unroll 4
    for (size_t b = 0; b < kBlocks; b++) {
      c0[b] = LoadLanes(blocks[b] + at);
      d0[b] = LoadLanes(blocks[b] + at + kBlockStep);
    }
    AddPair<kBlocks, kQueries>(first, c0, d0, queries, offset);
#pragma GCC unroll 4
    for (size_t b = 0; b < kBlocks; b++) {
      c1[b] = LoadLanes(blocks[b] + at + kTile);
      d1[b] = LoadLanes(blocks[b] + at + kBlockStep + kTile);
    }
    AddPair<kBlocks, kQueries>(last, c1, d1, queries, offset + kTile);
#pragma GCC unroll 4
    for (size_t b = 0; b < kBlocks; b++) {
      c0[b] = AddResidues(c1[b], LoadLanes(blocks[b] + at), modulus);
      d0[b] = AddResidues(d1[b], LoadLanes(blocks[b] + at + kBlockStep), modulus);
    }
    AddPair<kBlocks, kQueries>(both, c0, d0, queries, offset + 2 * kTile);
  }
  for (size_t b = 0; b < kBlocks; b++) {
    for (size_t q = 0; q < kQueries; q++) {
      result[b * kQueries + q] = {first[b][q], both[b][q], last[b][q]};
    }
  }
}

template <size_t kBlocks, size_t kQueries>
KEYRITE_IFMA void Multiply(const Pass& pass, const Reducer& by, size_t block, size_t query) {
  Sums sums[kBlocks * kQueries];
  AddUp<kBlocks, kQueries>(pass, block, query, sums);
  for (size_t b = 0; b < kBlocks; b++) {
    for (size_t q = 0; q < kQueries; q++) {
      Store(by, sums[b * kQueries + q],
            pass.results + ((block + b) * pass.query_count + query + q) * kResultStep);
    }
  }
}

// --- Several queries ---
//
// One sum of the three at a time, of four blocks and two queries: what it needs of the blocks stays in
// the first cache while all queries go over it, and those come from the second once for four blocks.

constexpr size_t kFour = 4;
// Chunks after which sums wait in memory. Four blocks and two queries of so many fit the first cache, of
// whose sets the c0 or the c1 of a block take every other one.
constexpr size_t kRun = 32;
constexpr size_t kPolynomials = 3;

// x: of the blocks, a chunk every x_step words; y: of the queries; sums are added to. Fetches a cache line
// of `next` for every chunk: memory is slower than the multiplications, and would have to be waited for.
template <size_t kQueries>
KEYRITE_IFMA_CALL void AddThird(const uint64_t* const (&x)[kFour], size_t x_step,
                                const uint64_t* const* y, size_t y_at, size_t chunks,
                                const uint64_t* next, Sum (*waiting)[kFour]) {
  Sum sums[kFour][kQueries];
  const uint64_t *blocks[kFour], *queries[kQueries];
  // Member by member: GCC would copy whole sums by way of the stack.
#pragma GCC unroll 4
  for (size_t b = 0; b < kFour; b++) {
    blocks[b] = x[b];
#pragma GCC unroll 4
    for (size_t q = 0; q < kQueries; q++) {
      queries[q] = y[q];
      sums[b][q].low = waiting[q][b].low;
      sums[b][q].high = waiting[q][b].high;
    }
  }
  for (size_t chunk = 0; chunk < chunks; chunk += 2) {
    __m512i x1[kFour], x2[kFour];
#pragma GCC unroll 4
    for (size_t b = 0; b < kFour; b++) {
      x1[b] = LoadLanes(blocks[b] + chunk * x_step);
      x2[b] = LoadLanes(blocks[b] + chunk * x_step + x_step);
      // Kept in registers: GCC would load them anew for each query.
      asm("" : "+v"(x1[b]), "+v"(x2[b]));
    }
    for (size_t line = chunk; line < chunk + 2; line++) {
      _mm_prefetch(reinterpret_cast<const char*>(next + line * kTile), _MM_HINT_T1);
    }
    AddPair<kFour, kQueries>(sums, x1, x2, queries, y_at + chunk * kQueryStep);
  }
#pragma GCC unroll 4
  for (size_t b = 0; b < kFour; b++) {
#pragma GCC unroll 4
    for (size_t q = 0; q < kQueries; q++) {
      waiting[q][b].low = sums[b][q].low;
      waiting[q][b].high = sums[b][q].high;
    }
  }
}

// Makes c0 + c1 of a run of four blocks.
KEYRITE_IFMA_CALL void KeepSums(const uint64_t* const (&blocks)[kFour], size_t chunks,
                                __m512i modulus, uint64_t* room) {
  for (size_t chunk = 0; chunk < chunks; chunk++) {
#pragma GCC unroll 4
    for (size_t b = 0; b < kFour; b++) {
      const uint64_t* words = blocks[b] + chunk * kBlockStep;
      _mm512_store_si512(room + (chunk * kFour + b) * kTile,
                         AddResidues(LoadLanes(words), LoadLanes(words + kTile), modulus));
    }
  }
}

// Apart from Run: inlined there it was measured to slow the scan of one query by 2 to 3 %.
KEYRITE_IFMA_CALL void MultiplyFour(const Pass& pass, const Reducer& by, size_t block) {
  // In the order of the heads: of c0 q0, c1 q1 and (c0 + c1)(q0 + q1).
  Sum sums[kPolynomials][kQueriesAtOnce][kFour];
  alignas(64) uint64_t room[kRun * kFour * kTile];
  for (size_t third = 0; third < kPolynomials; third++) {
    for (size_t q = 0; q < pass.query_count; q++) {
      for (size_t b = 0; b < kFour; b++) {
        sums[third][q][b] =
            Start(pass.blocks[block + b] + third * kTile, pass.queries[q] + third * kTile);
      }
    }
  }
  for (size_t first = 0; first < pass.chunks; first += kRun) {
    const size_t chunks = pass.chunks - first < kRun ? pass.chunks - first : kRun;
    const uint64_t* x[kPolynomials][kFour];
    for (size_t b = 0; b < kFour; b++) {
      x[0][b] = pass.blocks[block + b] + kHead + first * kBlockStep;
      x[1][b] = x[0][b] + kTile;
      x[2][b] = room + b * kTile;
    }
    KeepSums(x[0], chunks, by.modulus, room);
    for (size_t third = 0; third < kPolynomials; third++) {
      const size_t step = third == 2 ? kFour * kTile : kBlockStep;
      const size_t at = kHead + first * kQueryStep + third * kTile;
      // A chunk of a block is two lines, fetched with the first two sums. Eight queries are four pairs,
      // one for each block.
      const size_t line = 2 * first + (third == 0 ? 0 : chunks);
      size_t q = 0;
      for (; q + 2 <= pass.query_count; q += 2) {
        AddThird<2>(x[third], step, pass.queries + q, at, chunks,
                    pass.next_blocks[block + q / 2] + line * kTile, sums[third] + q);
      }
      if (q < pass.query_count) {
        AddThird<1>(x[third], step, pass.queries + q, at, chunks,
                    pass.next_blocks[block + q / 2] + line * kTile, sums[third] + q);
      }
    }
  }
  for (size_t b = 0; b < kFour; b++) {
    for (size_t q = 0; q < pass.query_count; q++) {
      Store(by, {sums[0][q][b], sums[2][q][b], sums[1][q][b]},
            pass.results + ((block + b) * pass.query_count + q) * kResultStep);
    }
  }
}

template <size_t kBlocks>
KEYRITE_IFMA void MultiplyAll(const Pass& pass, const Reducer& by, size_t block) {
  size_t query = 0;
  for (; query + 2 <= pass.query_count; query += 2) Multiply<kBlocks, 2>(pass, by, block, query);
  if (query < pass.query_count) Multiply<kBlocks, 1>(pass, by, block, query);
}

__attribute__((target("avx512f,avx512ifma"))) void Run(const Pass& pass) {
  const Reducer by = MakeReducer(*pass.ring);
  size_t block = 0;
  for (; block + kFour <= pass.block_count; block += kFour) {
    if (pass.query_count == 1) {
      Multiply<kFour, 1>(pass, by, block, 0);
    } else {
      MultiplyFour(pass, by, block);
    }
  }
  for (; block + 2 <= pass.block_count; block += 2) MultiplyAll<2>(pass, by, block);
  if (block < pass.block_count) MultiplyAll<1>(pass, by, block);
}

KEYRITE_IFMA_CALL void MakeHead(const Ring& ring, size_t chunks, size_t step, uint64_t* segment) {
  const Reducer by = MakeReducer(ring);
  const __m512i zero = _mm512_setzero_si512();
  Sums sums = {{zero, zero}, {zero, zero}, {zero, zero}};
  for (size_t chunk = 0; chunk < chunks; chunk += 2) {
    const uint64_t* x = segment + kHead + chunk * step;
    const __m512i x0 = LoadLanes(x);
    const __m512i x1 = LoadLanes(x + kTile);
    const __m512i y0 = LoadLanes(x + step);
    const __m512i y1 = LoadLanes(x + step + kTile);
    AddProduct(sums.first, x0, y0);
    AddProduct(sums.last, x1, y1);
    AddProduct(sums.both, AddResidues(x0, x1, by.modulus), AddResidues(y0, y1, by.modulus));
  }
  // q itself for zero: the kernels' sums have room for it.
  _mm512_store_si512(segment, _mm512_sub_epi64(by.modulus, Canonical(by, sums.first)));
  _mm512_store_si512(segment + kTile, _mm512_sub_epi64(by.modulus, Canonical(by, sums.last)));
  _mm512_store_si512(segment + 2 * kTile, _mm512_sub_epi64(by.modulus, Canonical(by, sums.both)));
}

KEYRITE_IFMA_CALL size_t ReduceWords(const Ring& ring, uint64_t limit, uint64_t* words,
                                     size_t count) {
  const Reducer by = MakeReducer(ring);
  const __m512i least = _mm512_set1_epi64(static_cast<long long>(limit));
  for (size_t at = 0; at < count; at += kTile) {
    const __m512i word = LoadLanes(words + at);
    if (_mm512_cmpge_epu64_mask(word, least) != 0) return at;
    // As in Canonical, without a high sum.
    const __m512i upper = MultiplyFactor(by, Upper(word), by.two52);
    const __m512i low = Below(_mm512_and_si512(word, by.mask), by.twice);
    const __m512i sum = _mm512_add_epi64(low, upper);
    _mm512_store_si512(words + at, Below(Below(sum, by.twice), by.modulus));
  }
  return count;
}
#else
void Run(const Pass& pass) { kPortableKernel.run(pass); }

void MakeHead(const Ring& ring, size_t chunks, size_t step, uint64_t* segment) {
  kPortableKernel.make_head(ring, chunks, step, segment);
}

size_t ReduceWords(const Ring& ring, uint64_t limit, uint64_t* words, size_t count) {
  return kPortableKernel.reduce(ring, limit, words, count);
}
#endif

}  // namespace

const Kernel kIfmaKernel = {"avx512-ifma", HasAvx512Ifma,  Run,          MakeHead,
                            ReduceWords,   PackSumsAvx512, Lanes::kEight};

}  // namespace keyrite
