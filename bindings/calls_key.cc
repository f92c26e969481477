// Calls that carry a mechanism: making, wrapping and deriving keys, and the *Init functions.
#include "arguments.h"
#include "attribute.h"
#include "calls.h"
#include "mechanism.h"

namespace keyrite {
namespace {

constexpr CK_ULONG kMaxWrapped = 1UL << 20;
constexpr CK_ULONG kWrapSlack = 16;

// generateKey(id, session, mechanism, template) -> {rv, handle}
Napi::Value GenerateKey(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 4);
  Module* module = ToModule(info);
  Mechanism mechanism(info[2]);
  Template key(info[3]);
  CK_ULONG handle = 0;
  const CK_RV rv = module->guarded.C_GenerateKey(ToHandle(info[1]), mechanism.get(), key.data(),
                                                 key.size(), &handle);
  return HandleResult(info.Env(), rv, handle);
}

// generateKeyPair(id, session, mechanism, publicTemplate, privateTemplate)
//   -> {rv, publicKey, privateKey}
Napi::Value GenerateKeyPair(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 5);
  Module* module = ToModule(info);
  Mechanism mechanism(info[2]);
  Template public_key(info[3]);
  Template private_key(info[4]);
  CK_ULONG public_handle = 0;
  CK_ULONG private_handle = 0;
  const CK_RV rv = module->guarded.C_GenerateKeyPair(
      ToHandle(info[1]), mechanism.get(), public_key.data(), public_key.size(), private_key.data(),
      private_key.size(), &public_handle, &private_handle);
  Napi::Object out = Napi::Object::New(info.Env());
  out["rv"] = ReturnValue(info.Env(), rv);
  out["publicKey"] = Napi::BigInt::New(info.Env(), static_cast<uint64_t>(public_handle));
  out["privateKey"] = Napi::BigInt::New(info.Env(), static_cast<uint64_t>(private_handle));
  return out;
}

// wrapKey(id, session, mechanism, wrappingKey, key) -> {rv, bytes}
Napi::Value WrapKey(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 5);
  Module* module = ToModule(info);
  Mechanism mechanism(info[2]);
  const CK_ULONG session = ToHandle(info[1]);
  const CK_ULONG wrapping_key = ToHandle(info[3]);
  const CK_ULONG key = ToHandle(info[4]);
  CK_ULONG length = 0;
  CK_RV rv = module->guarded.C_WrapKey(session, mechanism.get(), wrapping_key, key, nullptr, &length);
  std::vector<CK_BYTE> wrapped;
  if (rv == CKR_OK && length > kMaxWrapped) rv = CKR_FUNCTION_FAILED;
  if (rv == CKR_OK) {
    // NSS answers the size query for AES-KWP without the 8 bytes that wrapping adds.
    length += kWrapSlack;
    wrapped.resize(length);
    rv = module->guarded.C_WrapKey(session, mechanism.get(), wrapping_key, key, wrapped.data(),
                                   &length);
    if (length > wrapped.size()) length = 0;
  }
  Napi::Object out = Napi::Object::New(info.Env());
  out["rv"] = ReturnValue(info.Env(), rv);
  out["bytes"] = CopyToJs(info.Env(), wrapped.data(), rv == CKR_OK ? length : 0);
  return out;
}

// unwrapKey(id, session, mechanism, unwrappingKey, wrapped, template) -> {rv, handle}
Napi::Value UnwrapKey(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 6);
  Module* module = ToModule(info);
  Mechanism mechanism(info[2]);
  const Bytes source = ToBytes(info[4]);
  if (source.length > kMaxWrapped) Throw(info.Env(), "wrapped key longer than 1 MiB");
  std::vector<CK_BYTE> wrapped(source.data, source.data + source.length);
  Template key(info[5]);
  CK_ULONG handle = 0;
  const CK_RV rv = module->guarded.C_UnwrapKey(ToHandle(info[1]), mechanism.get(),
                                               ToHandle(info[3]), wrapped.data(), wrapped.size(),
                                               key.data(), key.size(), &handle);
  return HandleResult(info.Env(), rv, handle);
}

// deriveKey(id, session, mechanism, baseKey, template) -> {rv, handle}
Napi::Value DeriveKey(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 5);
  Module* module = ToModule(info);
  Mechanism mechanism(info[2]);
  Template key(info[4]);
  CK_ULONG handle = 0;
  const CK_RV rv = module->guarded.C_DeriveKey(ToHandle(info[1]), mechanism.get(),
                                               ToHandle(info[3]), key.data(), key.size(), &handle);
  return HandleResult(info.Env(), rv, handle);
}

using InitFunction = CK_RV (*)(CK_ULONG, CK_MECHANISM_PTR, CK_ULONG);

// encryptInit, decryptInit, signInit, verifyInit: (id, session, mechanism, key). pkcs11js runs the
// operation that follows; only the mechanism's parameter needs care.
template <InitFunction CK_FUNCTION_LIST::*Member>
Napi::Value OperationInit(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 4);
  Module* module = ToModule(info);
  Mechanism mechanism(info[2]);
  const InitFunction init = module->guarded.*Member;
  return ReturnValue(info.Env(), init(ToHandle(info[1]), mechanism.get(), ToHandle(info[3])));
}

}  // namespace

void ExportKeyCalls(Napi::Env env, Napi::Object exports) {
  exports["generateKey"] = Napi::Function::New<GenerateKey>(env);
  exports["generateKeyPair"] = Napi::Function::New<GenerateKeyPair>(env);
  exports["wrapKey"] = Napi::Function::New<WrapKey>(env);
  exports["unwrapKey"] = Napi::Function::New<UnwrapKey>(env);
  exports["deriveKey"] = Napi::Function::New<DeriveKey>(env);
  exports["encryptInit"] =
      Napi::Function::New<OperationInit<&CK_FUNCTION_LIST::C_EncryptInit>>(env);
  exports["decryptInit"] =
      Napi::Function::New<OperationInit<&CK_FUNCTION_LIST::C_DecryptInit>>(env);
  exports["signInit"] = Napi::Function::New<OperationInit<&CK_FUNCTION_LIST::C_SignInit>>(env);
  exports["verifyInit"] = Napi::Function::New<OperationInit<&CK_FUNCTION_LIST::C_VerifyInit>>(env);
}

}  // namespace keyrite
