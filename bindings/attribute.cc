#include "attribute.h"

#include "arguments.h"
#include "secret.h"

namespace keyrite {
namespace {

constexpr unsigned kMaxDepth = 4;
constexpr uint32_t kMaxAttributes = 256;
constexpr CK_ULONG kMaxValue = 1UL << 20;

bool IsTemplate(CK_ULONG type) {
  return type == CKA_WRAP_TEMPLATE || type == CKA_UNWRAP_TEMPLATE || type == CKA_DERIVE_TEMPLATE;
}

// A module says how long a value is; CK_UNAVAILABLE_INFORMATION and nonsense count as unknown.
bool Plausible(CK_ULONG length) { return length <= kMaxValue; }

// Return values after which some of the attributes are there (v2.40 §5.7, C_GetAttributeValue).
bool Partial(CK_RV rv) {
  return rv == CKR_OK || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID ||
         rv == CKR_BUFFER_TOO_SMALL;
}

// Memory for the values of one C_GetAttributeValue call.
class Answer {
 public:
  explicit Answer(const std::vector<CK_ULONG>& types) {
    for (const CK_ULONG type : types) attributes_.push_back({type, nullptr, 0});
    bytes_.resize(types.size());
    nested_.resize(types.size());
  }

  ~Answer() {
    for (auto& value : bytes_) Wipe(value.data(), value.size());
    for (auto& list : nested_) {
      if (list == nullptr) continue;
      for (auto& value : list->bytes_) Wipe(value.data(), value.size());
    }
  }

  CK_RV Read(Module* module, CK_ULONG session, CK_ULONG object) {
    const auto get = module->guarded.C_GetAttributeValue;
    CK_RV rv = get(session, object, attributes_.data(), attributes_.size());
    if (!Partial(rv)) return rv;
    const bool any_nested = Allocate();
    rv = get(session, object, attributes_.data(), attributes_.size());
    if (!Partial(rv) || !any_nested) return rv;
    // The elements now have types and lengths; give them memory and read a last time.
    for (auto& list : nested_) {
      if (list != nullptr) list->Allocate();
    }
    // The module has overwritten the lengths; these are the sizes of our memory again.
    for (size_t at = 0; at < attributes_.size(); at++) {
      attributes_[at].ulValueLen = nested_[at] == nullptr
                                       ? bytes_[at].size()
                                       : nested_[at]->attributes_.size() * sizeof(CK_ATTRIBUTE);
    }
    return get(session, object, attributes_.data(), attributes_.size());
  }

  Napi::Array ToJs(Napi::Env env) const {
    Napi::Array out = Napi::Array::New(env, attributes_.size());
    for (uint32_t at = 0; at < attributes_.size(); at++) out[at] = Value(env, at);
    return out;
  }

 private:
  // The elements of a template that is being read.
  explicit Answer(size_t count)
      : attributes_(count, {0, nullptr, 0}), bytes_(count), nested_(count), inner_(true) {}

  // Gives every attribute with a known length its memory; true when one of them is a template.
  // A template inside a template is left unread.
  bool Allocate() {
    bool any_nested = false;
    for (size_t at = 0; at < attributes_.size(); at++) {
      CK_ATTRIBUTE& attribute = attributes_[at];
      const size_t count = attribute.ulValueLen / sizeof(CK_ATTRIBUTE);
      known_.push_back(Plausible(attribute.ulValueLen) &&
                       !(IsTemplate(attribute.type) && (inner_ || count > kMaxAttributes)));
      if (!known_[at]) {
        attribute.ulValueLen = 0;
        continue;
      }
      if (IsTemplate(attribute.type)) {
        nested_[at].reset(new Answer(count));
        attribute.pValue = count == 0 ? nullptr : nested_[at]->attributes_.data();
        attribute.ulValueLen = count * sizeof(CK_ATTRIBUTE);
        any_nested = any_nested || count != 0;
        continue;
      }
      bytes_[at].resize(attribute.ulValueLen);
      attribute.pValue = bytes_[at].empty() ? nullptr : bytes_[at].data();
    }
    return any_nested;
  }

  Napi::Value Value(Napi::Env env, size_t at) const {
    const CK_ATTRIBUTE& attribute = attributes_[at];
    if (at >= known_.size() || !known_[at]) return env.Null();
    if (attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION) return env.Null();
    if (nested_[at] != nullptr) {
      Napi::Array list = Napi::Array::New(env);
      for (uint32_t i = 0; i < nested_[at]->attributes_.size(); i++) {
        Napi::Array pair = Napi::Array::New(env, 2);
        pair[0u] = Napi::Number::New(env, static_cast<double>(nested_[at]->attributes_[i].type));
        pair[1u] = nested_[at]->Value(env, i);
        list[i] = pair;
      }
      return list;
    }
    if (attribute.ulValueLen > bytes_[at].size()) return env.Null();
    return CopyToJs(env, bytes_[at].data(), attribute.ulValueLen);
  }

  std::vector<CK_ATTRIBUTE> attributes_;
  std::vector<std::vector<CK_BYTE>> bytes_;
  std::vector<std::unique_ptr<Answer>> nested_;
  std::vector<bool> known_;
  bool inner_ = false;
};

}  // namespace

Template::Template(const Napi::Value& source, unsigned depth) {
  if (!source.IsArray() || depth > kMaxDepth) Throw(source.Env(), "template is not an array");
  const Napi::Array list = source.As<Napi::Array>();
  const uint32_t count = list.Length();
  if (count > kMaxAttributes) Throw(source.Env(), "template with more than 256 attributes");
  // Reserved up front: the attributes point into these vectors' elements.
  attributes_.reserve(count + 1);
  bytes_.reserve(count);
  for (uint32_t at = 0; at < count; at++) {
    const Napi::Value item = list[at];
    if (!item.IsArray()) Throw(source.Env(), "attribute is not [type, value]");
    const Napi::Array pair = item.As<Napi::Array>();
    Add(ToUlong(pair[0u]), pair[1u], depth);
  }
}

Template::~Template() {
  for (auto& value : bytes_) Wipe(value.data(), value.size());
}

void Template::Add(CK_ULONG type, const Napi::Value& value, unsigned depth) {
  if (value.IsArray()) {
    nested_.push_back(std::make_unique<Template>(value, depth + 1));
    attributes_.push_back(
        {type, nested_.back()->data(), nested_.back()->size() * sizeof(CK_ATTRIBUTE)});
    return;
  }
  const Bytes source = ToBytes(value);
  if (source.length > kMaxValue) Throw(value.Env(), "attribute value longer than 1 MiB");
  bytes_.emplace_back(source.data, source.data + source.length);
  bytes_.back().reserve(1);  // an empty value still gets a valid pointer
  attributes_.push_back({type, bytes_.back().data(), source.length});
}

Napi::Object ReadAttributes(Napi::Env env, Module* module, CK_ULONG session, CK_ULONG object,
                            const std::vector<CK_ULONG>& types) {
  Answer answer(types);
  const CK_RV rv = answer.Read(module, session, object);
  Napi::Object out = Napi::Object::New(env);
  out["rv"] = ReturnValue(env, rv);
  out["values"] = Partial(rv) ? answer.ToJs(env) : Napi::Array::New(env);
  return out;
}

}  // namespace keyrite
