// The kernel for every CPU, with sums of 128 bits; and which kernels there are.
#include "he_kernel.h"
#include "he_pack.h"

namespace keyrite {
namespace {

bool Always() { return true; }

// Sums of c0 q0, c1 q1 and of the sums' products, at one coefficient.
void MultiplyOne(const Ring& ring, size_t chunks, const uint64_t* block, const uint64_t* query,
                 uint64_t* result) {
  HeWide first = block[0] + query[0];
  HeWide last = block[kTile] + query[kTile];
  HeWide both = block[2 * kTile] + query[2 * kTile];
  const uint64_t* c = block + kHead;
  const uint64_t* q = query + kHead;
  for (size_t chunk = 0; chunk < chunks; chunk += 2) {
    const uint64_t* d = c + kBlockStep;
    const uint64_t* r = q + kQueryStep;
    first += HeWide{c[0] + r[0]} * (d[0] + q[0]);
    last += HeWide{c[kTile] + r[kTile]} * (d[kTile] + q[kTile]);
    both += HeWide{c[0] + c[kTile] + r[2 * kTile]} * (d[0] + d[kTile] + q[2 * kTile]);
    c += 2 * kBlockStep;
    q += 2 * kQueryStep;
  }
  result[0] = Reduce(first, ring);
  result[kTile] = Reduce(both, ring) + 2 * ring.modulus;
  result[2 * kTile] = Reduce(last, ring);
  result[kTile] = ReduceWord(result[kTile] - result[0] - result[2 * kTile], ring);
}

void Run(const Pass& pass) {
  const Ring ring = *pass.ring;
  uint64_t* result = pass.results;
  for (size_t block = 0; block < pass.block_count; block++) {
    for (size_t query = 0; query < pass.query_count; query++) {
      for (size_t at = 0; at < kTile; at++) {
        MultiplyOne(ring, pass.chunks, pass.blocks[block] + at, pass.queries[query] + at,
                    result + at);
      }
      result += kResultStep;
    }
  }
}

uint64_t AddResidues(uint64_t a, uint64_t b, uint64_t modulus) {
  const uint64_t sum = a + b;
  return sum >= modulus ? sum - modulus : sum;
}

void MakeHead(const Ring& ring, size_t chunks, size_t step, uint64_t* segment) {
  const uint64_t modulus = ring.modulus;
  for (size_t lane = 0; lane < kTile; lane++) {
    HeWide first = 0;
    HeWide last = 0;
    HeWide both = 0;
    const uint64_t* x = segment + kHead + lane;
    for (size_t chunk = 0; chunk < chunks; chunk += 2, x += 2 * step) {
      const uint64_t* y = x + step;
      first += HeWide{x[0]} * y[0];
      last += HeWide{x[kTile]} * y[kTile];
      both += HeWide{AddResidues(x[0], x[kTile], modulus)} * AddResidues(y[0], y[kTile], modulus);
    }
    // q itself for zero: the kernels' sums have room for it.
    segment[lane] = modulus - Reduce(first, ring);
    segment[kTile + lane] = modulus - Reduce(last, ring);
    segment[2 * kTile + lane] = modulus - Reduce(both, ring);
  }
}

size_t ReduceWords(const Ring& ring, uint64_t limit, uint64_t* words, size_t count) {
  for (size_t at = 0; at < count; at += kTile) {
    for (size_t lane = 0; lane < kTile; lane++) {
      if (words[at + lane] >= limit) return at;
    }
    for (size_t lane = 0; lane < kTile; lane++) words[at + lane] = ReduceWord(words[at + lane], ring);
  }
  return count;
}

std::vector<const Kernel*> FindKernels() {
  std::vector<const Kernel*> kernels;
  for (const Kernel* kernel : {&kIfmaKernel, &kAvx2Kernel, &kPortableKernel}) {
    if (kernel->available()) kernels.push_back(kernel);
  }
  return kernels;
}

}  // namespace

const Kernel kPortableKernel = {"portable",  Always,   Run,         MakeHead,
                                ReduceWords, PackSums, Lanes::kOne};

const std::vector<const Kernel*>& AvailableKernels() {
  static const std::vector<const Kernel*> kernels = FindKernels();
  return kernels;
}

}  // namespace keyrite
