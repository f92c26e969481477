#include "feistel_arguments.h"

#include <algorithm>

#include "arguments.h"

namespace keyrite {
namespace {

constexpr size_t kFf3TweakBytes = 7;
constexpr size_t kRunBytes = 3;
constexpr unsigned kAsciiEnd = 128;

// The properties of a group. Reading them may run JavaScript, so it comes before any pointer is
// taken.
struct GroupValues {
  uint32_t radix;
  uint32_t length;
  size_t count;
  size_t tweak_length;
  Napi::Value input, output, tweaks, prefix, characters;
};

uint32_t ReadInteger(const Napi::Object& object, const char* name) {
  return static_cast<uint32_t>(ToUlong(object.Get(name)));
}

GroupValues ReadGroup(const Napi::Value& value) {
  if (!value.IsObject()) Throw(value.Env(), "a group is not an object");
  const Napi::Object group = value.As<Napi::Object>();
  return {ReadInteger(group, "radix"), ReadInteger(group, "length"), ReadInteger(group, "count"),
          ReadInteger(group, "tweakLength"), group.Get("input"), group.Get("output"),
          group.Get("tweaks"), group.Get("prefix"), group.Get("characters")};
}

// Every character and every numeral below `radix` exactly once.
std::vector<CharacterRun> ReadRuns(const Napi::Value& value, uint32_t radix) {
  const View view = BytesViewOf(value);
  if (view.length == 0 || view.length % kRunBytes != 0 || view.length > kRunBytes * kAsciiEnd) {
    Throw(value.Env(), "characters are not runs of three bytes");
  }
  std::vector<CharacterRun> runs;
  bool characters[kAsciiEnd] = {};
  bool numerals[kAsciiEnd] = {};
  unsigned total = 0;
  for (size_t at = 0; at < view.length; at += kRunBytes) {
    const CharacterRun run = {view.data[at], view.data[at + 1], view.data[at + 2]};
    if (run.count == 0 || run.first + run.count > kAsciiEnd || run.start + run.count > kAsciiEnd) {
      Throw(value.Env(), "a run of characters leaves ASCII");
    }
    for (unsigned of = 0; of < run.count; of++) {
      if (characters[run.first + of] || numerals[run.start + of] || run.start + of >= radix) {
        Throw(value.Env(), "runs of characters do not fit together or to the radix");
      }
      characters[run.first + of] = numerals[run.start + of] = true;
    }
    total += run.count;
    runs.push_back(run);
  }
  if (total != radix) Throw(value.Env(), "runs of characters do not fit the radix");
  return runs;
}

FeistelGroup ToGroup(const GroupValues& values, bool ff3_1) {
  const Napi::Env env = values.input.Env();
  FeistelGroup group;
  group.radix = values.radix;
  group.length = values.length;
  group.count = values.count;
  group.tweak_length = values.tweak_length;
  if (group.radix < 2 || group.radix > kMaxRadix) Throw(env, "radix is not 2 to 65536");
  if (group.length < 2 || group.length > kMaxLength) Throw(env, "length is not 2 to 192");

  const View input = ViewOf(values.input);
  const View output = ViewOf(values.output);
  const bool words = input.type == napi_uint16_array;
  if (!words && input.type != napi_uint8_array) Throw(env, "input has another element type");
  if (output.type != input.type) Throw(env, "output has another element type than input");
  if (!words && group.radix > 256) Throw(env, "numerals of this radix need 16 bits");
  group.symbols = words ? Symbols::kWords : Symbols::kBytes;
  if (!values.characters.IsUndefined()) {
    if (words) Throw(env, "characters are bytes");
    group.runs = ReadRuns(values.characters, group.radix);
    group.symbols = Symbols::kCharacters;
  }
  const size_t bytes = group.count * group.RecordBytes();
  if (input.length != bytes) Throw(env, "input is not count times length symbols");
  if (output.length != bytes) Throw(env, "output is not as long as input");
  group.input = input.data;
  group.output = output.data;

  const View tweaks = BytesViewOf(values.tweaks);
  if (ff3_1 && group.tweak_length != kFf3TweakBytes) Throw(env, "an FF3-1 tweak has 7 bytes");
  group.own_tweaks = tweaks.length != group.tweak_length;
  if (group.own_tweaks && tweaks.length != group.count * group.tweak_length) {
    Throw(env, "tweaks are neither one nor one per record");
  }
  group.tweaks = tweaks.data;

  const View prefix = BytesViewOf(values.prefix);
  if (prefix.length != (ff3_1 ? 0 : group.prefix.size())) Throw(env, "prefix has a wrong length");
  std::copy_n(prefix.data, prefix.length, group.prefix.begin());
  if (!group.Prepare(ff3_1)) Throw(env, "a half has more than 96 bits");
  return group;
}

}  // namespace

View ViewOf(const Napi::Value& value) {
  const Napi::Env env = value.Env();
  if (!value.IsTypedArray()) Throw(env, "expected a typed array");
  View view{};
  size_t elements = 0;
  void* data = nullptr;
  napi_value buffer = nullptr;
  if (napi_get_typedarray_info(env, value, &view.type, &elements, &data, &buffer, nullptr) !=
      napi_ok) {
    Throw(env, "expected a typed array");
  }
  bool plain = false;
  if (napi_is_arraybuffer(env, buffer, &plain) != napi_ok || !plain) {
    Throw(env, "expected memory that is not shared");
  }
  bool detached = true;
  if (napi_is_detached_arraybuffer(env, buffer, &detached) != napi_ok || detached) {
    Throw(env, "expected memory that is not detached");
  }
  view.data = static_cast<uint8_t*>(data);
  view.length = elements * value.As<Napi::TypedArray>().ElementSize();
  return view;
}

View BytesViewOf(const Napi::Value& value) {
  const View view = ViewOf(value);
  if (view.type != napi_uint8_array) Throw(value.Env(), "expected a Uint8Array");
  return view;
}

void RefuseOverlap(Napi::Env env, std::vector<MemoryUse> uses) {
  std::sort(uses.begin(), uses.end(),
            [](const MemoryUse& a, const MemoryUse& b) { return a.start < b.start; });
  const uint8_t* end_of_any = nullptr;
  const uint8_t* end_of_written = nullptr;
  for (const MemoryUse& use : uses) {
    if (use.length == 0) continue;
    if (use.start < (use.written ? end_of_any : end_of_written)) {
      Throw(env, "output shares memory with another argument");
    }
    const uint8_t* end = use.start + use.length;
    end_of_any = std::max(end_of_any, end);
    if (use.written) end_of_written = std::max(end_of_written, end);
  }
}

bool ReadFlag(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsBoolean()) Throw(object.Env(), "expected a boolean");
  return value.As<Napi::Boolean>();
}

BatchArguments ReadBatch(const Napi::Value& batch) {
  const Napi::Env env = batch.Env();
  if (!batch.IsObject()) Throw(env, "batch is not an object");
  const Napi::Object object = batch.As<Napi::Object>();
  const bool ff3_1 = ReadFlag(object, "ff3_1");
  const bool decrypt = ReadFlag(object, "decrypt");
  const Napi::Value list = object.Get("groups");
  if (!list.IsArray()) Throw(env, "groups are not an array");
  const Napi::Array array = list.As<Napi::Array>();
  std::vector<GroupValues> values;
  for (uint32_t at = 0; at < array.Length(); at++) values.push_back(ReadGroup(array.Get(at)));

  BatchArguments arguments;
  arguments.direction = decrypt ? Direction::kDecrypt : Direction::kEncrypt;
  std::vector<MemoryUse> uses;
  for (const GroupValues& value : values) {
    arguments.groups.push_back(ToGroup(value, ff3_1));
    arguments.outputs.push_back(value.output);
    const FeistelGroup& group = arguments.groups.back();
    const size_t bytes = group.count * group.RecordBytes();
    // A chunk's records are all read before the first is written: results may take their place.
    if (group.input != group.output) uses.push_back({group.input, bytes, false});
    uses.push_back({group.output, bytes, true});
    const size_t tweaks = group.own_tweaks ? group.count : 1;
    uses.push_back({group.tweaks, tweaks * group.tweak_length, false});
  }
  RefuseOverlap(env, std::move(uses));
  return arguments;
}

}  // namespace keyrite
