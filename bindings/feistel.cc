#include "feistel.h"

#include <algorithm>
#include <utility>

#include "feistel_symbols.h"
#include "secret.h"

namespace keyrite {
namespace {

constexpr size_t kAlignment = 64;

bool Cancelled(const int32_t* cancel) {
  return cancel != nullptr && __atomic_load_n(cancel, __ATOMIC_RELAXED) != 0;
}

}  // namespace

Feistel::Feistel(std::vector<FeistelGroup> groups, Direction direction, size_t chunk_blocks,
                 bool in_place)
    : groups_(std::move(groups)), direction_(direction) {
  size_t records = 0;
  bool own_tweaks = false;
  for (const FeistelGroup& group : groups_) {
    records += group.count;
    own_tweaks = own_tweaks || group.own_tweaks;
  }
  chunk_ = std::min(chunk_blocks, records);
  segments_.reserve(std::min(chunk_, groups_.size()));
  const size_t blocks = chunk_ * kAesBlock;
  const size_t halves = 2 * chunk_ * sizeof(Wide);
  memory_size_ = kAlignment + (in_place ? 1 : 2) * blocks + halves +
                 (own_tweaks ? chunk_ * sizeof(Pad) : 0);
  memory_.reset(new uint8_t[memory_size_]);
  const size_t over = reinterpret_cast<uintptr_t>(memory_.get()) % kAlignment;
  in_ = memory_.get() + (kAlignment - over);
  out_ = in_place ? in_ : in_ + blocks;
  halves_ = reinterpret_cast<Wide*>(out_ + blocks);
  pads_ = reinterpret_cast<Pad*>(halves_ + 2 * chunk_);
}

Feistel::~Feistel() { Wipe(memory_.get(), memory_size_); }

// Fills `segments_`; false when no record is left.
bool Feistel::NextChunk(Cursor* cursor) {
  segments_.clear();
  size_t taken = 0;
  while (taken < chunk_ && cursor->group < groups_.size()) {
    const FeistelGroup& group = groups_[cursor->group];
    const size_t count = std::min(chunk_ - taken, group.count - cursor->record);
    if (count != 0) {
      Wide* halves = halves_ + 2 * taken;
      void* right = group.scheme == Scheme::kFf1Narrow
                        ? static_cast<void*>(reinterpret_cast<uint32_t*>(halves) + count)
                        : static_cast<void*>(halves + count);
      segments_.push_back({&group, cursor->record, count, {halves, right}, pads_ + taken});
    }
    taken += count;
    cursor->record += count;
    if (cursor->record == group.count) {
      cursor->group++;
      cursor->record = 0;
    }
  }
  cursor->total += static_cast<int64_t>(taken);
  return taken != 0;
}

FeistelOutcome Feistel::RunChunk(AesEngine& engine, const int32_t* cancel, int64_t first) {
  size_t waves = 0;
  size_t blocks = 0;
  for (const Segment& segment : segments_) {
    const size_t valid = ParseSegment(segment);
    if (valid != segment.count) {
      return {{}, first + static_cast<int64_t>(blocks + valid), false};
    }
    PreparePads(segment);
    BuildFirst(segment, direction_, in_ + blocks * kAesBlock);
    blocks += segment.count;
    waves = std::max(waves, WavesOf(*segment.group));
  }
  for (size_t wave = 0; wave < waves; wave++) {
    if (Cancelled(cancel)) return {{}, -1, true};
    const CipherResult result = engine.Encrypt(in_, out_, blocks);
    if (result.rv != CKR_OK) return {result, -1, false};
    size_t read = 0;
    blocks = 0;
    for (const Segment& segment : segments_) {
      const size_t own_waves = WavesOf(*segment.group);
      if (own_waves <= wave) continue;
      Advance(segment, direction_, wave, out_ + read * kAesBlock, in_ + blocks * kAesBlock);
      read += segment.count;
      if (own_waves > wave + 1) blocks += segment.count;
    }
  }
  for (const Segment& segment : segments_) FormatSegment(segment);
  return {};
}

FeistelOutcome Feistel::Run(AesEngine& engine, const int32_t* cancel) {
  FeistelOutcome outcome;
  Cursor cursor;
  for (int64_t first = 0; outcome.ok() && NextChunk(&cursor); first = cursor.total) {
    outcome = RunChunk(engine, cancel, first);
  }
  const CipherResult finished = engine.Finish(outcome.cipher.rv == CKR_OK);
  if (outcome.ok()) outcome.cipher = finished;
  outcome.open = engine.LeftOpen();
  return outcome;
}

}  // namespace keyrite
