// A thread takes a few tiles at a time and goes through all blocks with them: the tiles of the queries
// stay in its cache, those of the blocks are read once and in order.
#include "he_scan.h"

#include <mutex>

#include "he_residues.h"

namespace keyrite {
namespace {

// Blocks of one call of a kernel: their sums fit the stack.
constexpr size_t kBlocksAtOnce = 4;
// Tiles in a row, as long as those of the queries fit the second cache.
constexpr size_t kMostTiles = 4;
constexpr size_t kCachedWords = size_t{64} << 10;

class Scanner {
 public:
  Scanner(const ScanInput& input, const CancelFlag& cancelled)
      : input_(input),
        cancelled_(cancelled),
        ring_(input.block_layout.ring()),
        layout_(ring_, input.chunks, kQueryStep, *input.kernel),
        queries_(layout_.Words() * input.queries.size()) {}
  Scanner(const Scanner&) = delete;
  Scanner& operator=(const Scanner&) = delete;

  ScanOutcome Run() {
    ScanOutcome outcome = PlaceQueries();
    if (outcome.bad_query >= 0) return outcome;
    const size_t group = std::clamp(
        kCachedWords / (layout_.TileWords() * input_.queries.size()), size_t{1}, kMostTiles);
    Turns turns((ring_.Tiles() + group - 1) / group, cancelled_);
    OnThreads(input_.threads, [&] {
      size_t turn;
      while (turns.Take(&turn)) {
        MultiplyTiles(turn * group, std::min(ring_.Tiles(), (turn + 1) * group));
      }
    });
    outcome.aborted = cancelled_.load();
    return outcome;
  }

 private:
  // Unpacks the queries and expands their seeds, a few chunks at a time.
  ScanOutcome PlaceQueries() {
    const size_t groups = (input_.chunks + kChunksAtOnce - 1) / kChunksAtOnce;
    Turns turns(input_.queries.size() * groups, cancelled_);
    std::mutex mutex;
    ScanOutcome outcome;
    OnThreads(input_.threads, [&] {
      const Scratch pairs(kChunksAtOnce * layout_.PairWords());
      size_t turn;
      while (turns.Take(&turn)) {
        const size_t query = turn / groups;
        const size_t first = turn % groups * kChunksAtOnce;
        const size_t bad =
            layout_.Place(input_.queries[query], first, std::min(kChunksAtOnce, input_.chunks - first),
                          pairs.words(), queries_.words() + query * layout_.Words());
        if (bad == kAllResiduesGood) continue;
        turns.End();
        const std::lock_guard<std::mutex> lock(mutex);
        outcome.bad_query = static_cast<double>(query);
        outcome.bad_residue = static_cast<double>(bad);
      }
    });
    return outcome;
  }

  void MultiplyTiles(size_t first, size_t end) {
    const size_t count = input_.queries.size();
    for (size_t query = 0; query < count; query++) {
      for (size_t tile = first; tile < end; tile++) {
        layout_.MakeHeads(QueryTile(query, tile));
      }
    }
    for (size_t block = 0; block < input_.blocks.size(); block += kBlocksAtOnce) {
      if (cancelled_.load(std::memory_order_relaxed)) return;
      for (size_t tile = first; tile < end; tile++) {
        const bool last = tile + 1 == end;
        const Place next = {last ? first : tile + 1, last ? block + kBlocksAtOnce : block};
        for (size_t query = 0; query < count; query += kQueriesAtOnce) {
          MultiplyTile({tile, block}, query, next);
        }
      }
    }
  }

  uint64_t* QueryTile(size_t query, size_t tile) const {
    return queries_.words() + query * layout_.Words() + tile * layout_.TileWords();
  }

  // A tile of several blocks.
  struct Place {
    size_t tile;
    size_t block;  // the first
  };

  // Where a segment of the tile begins in each of the blocks; behind the last block, in that.
  void FindBlocks(const Place& place, size_t segment, const uint64_t* (&blocks)[kBlocksAtOnce]) const {
    const Layout& layout = input_.block_layout;
    for (size_t at = 0; at < kBlocksAtOnce; at++) {
      const size_t block = std::min(place.block + at, input_.blocks.size() - 1);
      blocks[at] =
          input_.blocks[block]->words() + place.tile * layout.TileWords() + layout.At(segment);
    }
  }

  void MultiplyTile(const Place& place, size_t first_query, const Place& next) {
    const auto [tile, first_block] = place;
    alignas(64) uint64_t sums[kBlocksAtOnce * kQueriesAtOnce * kResultStep];
    alignas(64) uint64_t more[kBlocksAtOnce * kQueriesAtOnce * kResultStep];
    const uint64_t *blocks[kBlocksAtOnce], *next_blocks[kBlocksAtOnce];
    const uint64_t* queries[kQueriesAtOnce];
    Pass pass{};
    pass.ring = &ring_;
    pass.block_count = std::min(kBlocksAtOnce, input_.blocks.size() - first_block);
    pass.query_count = std::min(kQueriesAtOnce, input_.queries.size() - first_query);
    pass.blocks = blocks;
    pass.next_blocks = next_blocks;
    pass.queries = queries;
    const size_t words = pass.block_count * pass.query_count * kResultStep;
    for (size_t segment = 0; segment < layout_.Segments(); segment++) {
      FindBlocks(place, segment, blocks);
      FindBlocks(next, segment, next_blocks);
      for (size_t at = 0; at < pass.query_count; at++) {
        queries[at] = QueryTile(first_query + at, tile) + layout_.At(segment);
      }
      pass.chunks = layout_.ChunksOf(segment);
      pass.results = segment == 0 ? sums : more;
      input_.kernel->run(pass);
      if (segment == 0) continue;
      for (size_t at = 0; at < words; at++) sums[at] = ReduceWord(sums[at] + more[at], ring_);
    }
    for (size_t block = 0; block < pass.block_count; block++) {
      input_.kernel->pack(
          ring_, tile, sums + block * pass.query_count * kResultStep, pass.query_count,
          input_.results.data() + (first_block + block) * input_.queries.size() + first_query);
    }
  }

  const ScanInput& input_;
  const CancelFlag& cancelled_;
  Ring ring_;
  Layout layout_;
  Scratch queries_;
};

// As fast as the compiler makes it for every CPU; two threads of this are bound by memory.
uint64_t AddWords(const uint64_t* words, size_t count) {
  uint64_t sums[8] = {};
  for (size_t at = 0; at + 8 <= count; at += 8) {
    for (size_t lane = 0; lane < 8; lane++) sums[lane] += words[at + lane];
  }
  uint64_t sum = 0;
  for (const uint64_t one : sums) sum += one;
  return sum;
}

}  // namespace

ScanOutcome Scan(const ScanInput& input, const CancelFlag& cancelled) {
  return Scanner(input, cancelled).Run();
}

uint64_t ReadBlocks(const std::vector<std::shared_ptr<const ResidentBlock>>& blocks,
                    size_t threads) {
  const CancelFlag never{false};
  // Several turns per thread even for few blocks, each long enough to be read ahead of.
  constexpr size_t kParts = 4;
  Turns turns(blocks.size() * kParts, never);
  std::atomic<uint64_t> sum{0};
  OnThreads(threads, [&] {
    size_t turn;
    uint64_t own = 0;
    while (turns.Take(&turn)) {
      const ResidentBlock& block = *blocks[turn / kParts];
      const size_t words = block.layout().Words() / kParts;
      own += AddWords(block.words() + turn % kParts * words, words);
    }
    sum += own;
  });
  return sum;
}

}  // namespace keyrite
