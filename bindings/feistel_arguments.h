// A batch of src/feistel-addon.ts as C++. Everything is checked here: whatever JavaScript passes,
// the rounds stay inside the memory they were given.
#ifndef KEYRITE_FEISTEL_ARGUMENTS_H
#define KEYRITE_FEISTEL_ARGUMENTS_H

#include <napi.h>

#include <vector>

#include "feistel_rounds.h"

namespace keyrite {

// The memory of a typed array, valid until JavaScript runs again.
struct View {
  uint8_t* data;
  size_t length;  // bytes
  napi_typedarray_type type;
};

// Throws Napi::TypeError unless `value` is a typed array on an ArrayBuffer that is neither shared
// nor detached.
View ViewOf(const Napi::Value& value);

// The same for a Uint8Array.
View BytesViewOf(const Napi::Value& value);

// Throws Napi::TypeError when memory of an output is also memory of another argument.
struct MemoryUse {
  const uint8_t* start;
  size_t length;
  bool written;
};
void RefuseOverlap(Napi::Env env, std::vector<MemoryUse> uses);

// Reads a true or false property.
bool ReadFlag(const Napi::Object& object, const char* name);

struct BatchArguments {
  Direction direction = Direction::kEncrypt;
  std::vector<FeistelGroup> groups;   // prepared; they point into JavaScript's memory
  std::vector<Napi::Value> outputs;  // one typed array per group
};

// Throws Napi::TypeError.
BatchArguments ReadBatch(const Napi::Value& batch);

}  // namespace keyrite

#endif
