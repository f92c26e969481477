// Runs FF1 and FF3-1 over many records in lockstep: up to `chunk_blocks` records at a time, one
// call of the cipher per wave, records of all groups together. A chunk's results are written when
// all its rounds are done; inputs are never changed.
//
// No branch, address or division depends on a numeral or on the cipher's output. Lengths, radixes,
// tweak lengths and the fact that a record holds an unknown symbol are public. Checked by
// test/fpe/timing.test.ts on what the compiler made of feistel*.cc: under valgrind with symbols and
// cipher output marked, the only branch that depends on the mark is the one on that fact; and the
// objects hold no division instruction. Multiplication takes constant time on the CPUs we know.
#ifndef KEYRITE_FEISTEL_H
#define KEYRITE_FEISTEL_H

#include <memory>
#include <vector>

#include "aes_engine.h"
#include "feistel_rounds.h"

namespace keyrite {

struct FeistelOutcome {
  CipherResult cipher;
  int64_t invalid = -1;  // first record with an unknown symbol, counted over all groups
  bool aborted = false;
  bool open = false;  // the cipher's operation stays open

  bool ok() const { return cipher.rv == CKR_OK && invalid < 0 && !aborted; }
};

class Feistel {
 public:
  // `groups` are prepared. Memory is allocated here, none later.
  Feistel(std::vector<FeistelGroup> groups, Direction direction, size_t chunk_blocks,
          bool in_place);
  ~Feistel();
  Feistel(const Feistel&) = delete;
  Feistel& operator=(const Feistel&) = delete;

  // On any thread. `cancel` may be null; *cancel other than 0 ends the job between two calls.
  FeistelOutcome Run(AesEngine& engine, const int32_t* cancel);

 private:
  struct Cursor {
    size_t group = 0;
    size_t record = 0;
    int64_t total = 0;  // records before it, over all groups
  };

  bool NextChunk(Cursor* cursor);
  FeistelOutcome RunChunk(AesEngine& engine, const int32_t* cancel, int64_t first);

  std::vector<FeistelGroup> groups_;
  Direction direction_;
  size_t chunk_ = 0;
  std::vector<Segment> segments_;
  size_t memory_size_ = 0;
  std::unique_ptr<uint8_t[]> memory_;
  uint8_t* in_ = nullptr;
  uint8_t* out_ = nullptr;
  Wide* halves_ = nullptr;
  Pad* pads_ = nullptr;
};

}  // namespace keyrite

#endif
