#include "arguments.h"

#include <cmath>
#include <cstring>

namespace keyrite {

void Throw(Napi::Env env, const char* message) { throw Napi::TypeError::New(env, message); }

CK_ULONG ToUlong(const Napi::Value& value) {
  if (!value.IsNumber()) Throw(value.Env(), "expected a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0) || number > 4294967295.0 || std::floor(number) != number) {
    Throw(value.Env(), "expected an integer 0 to 4294967295");
  }
  return static_cast<CK_ULONG>(number);
}

CK_ULONG ToHandle(const Napi::Value& value) {
  if (!value.IsBigInt()) Throw(value.Env(), "expected a bigint");
  bool lossless = false;
  const uint64_t handle = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) Throw(value.Env(), "expected a bigint 0 to 2^64-1");
  return handle;
}

Bytes ToBytes(const Napi::Value& value) {
  if (!value.IsTypedArray() ||
      value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    Throw(value.Env(), "expected a Uint8Array");
  }
  const Napi::Uint8Array array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

Module* ToModule(const Napi::CallbackInfo& info) {
  Module* module = FindModule(static_cast<unsigned>(ToUlong(info[0])));
  if (module == nullptr) Throw(info.Env(), "no such module");
  return module;
}

void ExpectArguments(const Napi::CallbackInfo& info, size_t count) {
  if (info.Length() != count) Throw(info.Env(), "wrong number of arguments");
}

Napi::Number ReturnValue(Napi::Env env, CK_RV rv) {
  return Napi::Number::New(env, rv > (1UL << 53) ? -1.0 : static_cast<double>(rv));
}

Napi::Object HandleResult(Napi::Env env, CK_RV rv, CK_ULONG handle) {
  Napi::Object out = Napi::Object::New(env);
  out["rv"] = ReturnValue(env, rv);
  out["handle"] = Napi::BigInt::New(env, static_cast<uint64_t>(handle));
  return out;
}

Napi::Uint8Array CopyToJs(Napi::Env env, const CK_BYTE* data, size_t length) {
  Napi::Uint8Array out = Napi::Uint8Array::New(env, length);
  if (length != 0) std::memcpy(out.Data(), data, length);
  return out;
}

}  // namespace keyrite
