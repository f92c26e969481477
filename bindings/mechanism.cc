#include "mechanism.h"

#include <cstring>

#include "arguments.h"
#include "secret.h"

namespace keyrite {
namespace {

constexpr uint32_t kMaxFields = 16;
constexpr unsigned kMaxDepth = 2;

void AppendWord(std::vector<CK_BYTE>& structure, const void* word) {
  const auto* bytes = static_cast<const CK_BYTE*>(word);
  structure.insert(structure.end(), bytes, bytes + sizeof(CK_ULONG));
}

}  // namespace

Mechanism::Mechanism(const Napi::Value& source) {
  if (!source.IsObject()) Throw(source.Env(), "mechanism is not an object");
  const Napi::Object object = source.As<Napi::Object>();
  mechanism_.mechanism = ToUlong(object.Get("type"));
  std::vector<CK_BYTE>& parameter = LayOut(object.Get("parameter"), 0);
  mechanism_.pParameter = parameter.empty() ? nullptr : parameter.data();
  mechanism_.ulParameterLen = parameter.size();
}

Mechanism::~Mechanism() {
  for (auto& bytes : memory_) Wipe(bytes->data(), bytes->size());
}

std::vector<CK_BYTE>& Mechanism::LayOut(const Napi::Value& fields, unsigned depth) {
  if (!fields.IsArray() || depth > kMaxDepth) Throw(fields.Env(), "parameter is not an array");
  const Napi::Array list = fields.As<Napi::Array>();
  const uint32_t count = list.Length();
  if (count > kMaxFields) Throw(fields.Env(), "parameter with too many fields");
  memory_.push_back(std::make_unique<std::vector<CK_BYTE>>());
  std::vector<CK_BYTE>& structure = *memory_.back();
  for (uint32_t at = 0; at < count; at++) {
    if (structure.size() % sizeof(CK_ULONG) != 0) Throw(fields.Env(), "field is not aligned");
    Append(list[at], structure, depth);
  }
  return structure;
}

void Mechanism::Append(const Napi::Value& field, std::vector<CK_BYTE>& structure, unsigned depth) {
  if (field.IsNumber()) {
    const CK_ULONG value = ToUlong(field);
    AppendWord(structure, &value);
    return;
  }
  if (field.IsTypedArray()) {
    const Bytes bytes = ToBytes(field);
    memory_.push_back(
        std::make_unique<std::vector<CK_BYTE>>(bytes.data, bytes.data + bytes.length));
    const void* address = bytes.length == 0 ? nullptr : memory_.back()->data();
    AppendWord(structure, &address);
    return;
  }
  if (!field.IsObject()) Throw(field.Env(), "unknown kind of field");
  const Napi::Object object = field.As<Napi::Object>();
  if (object.Has("inline")) {
    const Bytes bytes = ToBytes(object.Get("inline"));
    structure.insert(structure.end(), bytes.data, bytes.data + bytes.length);
    return;
  }
  const void* address = LayOut(object.Get("fields"), depth + 1).data();
  AppendWord(structure, &address);
}

}  // namespace keyrite
