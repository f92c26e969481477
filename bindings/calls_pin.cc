// Calls that carry a PIN. A PIN arrives as a Uint8Array, or null for the protected authentication
// path (NULL pointer, the token asks on its own PIN pad), and is in locked memory during the call.
#include "arguments.h"
#include "calls.h"
#include "secret.h"

namespace keyrite {
namespace {

constexpr size_t kMaxPin = 4096;
constexpr size_t kLabelLength = 32;

// A PIN argument; absent for null.
class Pin {
 public:
  explicit Pin(const Napi::Value& value) : Pin(value, value.IsNull() ? Bytes{nullptr, 0} : ToBytes(value)) {}

  CK_BYTE_PTR data() const { return null_ ? nullptr : copy_.data(); }
  CK_ULONG length() const { return null_ ? 0 : copy_.length(); }

 private:
  Pin(const Napi::Value& value, Bytes bytes) : null_(value.IsNull()), copy_(bytes.data, bytes.length) {
    if (bytes.length > kMaxPin) Throw(value.Env(), "PIN longer than 4096 bytes");
    if (copy_.ok()) return;
    Napi::Error error = Napi::Error::New(value.Env(), "cannot lock memory for a PIN");
    error.Set("code", Napi::String::New(value.Env(), "MEMORY_NOT_LOCKED"));
    throw error;
  }

  bool null_;
  LockedCopy copy_;
};

// login(id, session, userType, pin)
Napi::Value Login(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 4);
  Module* module = ToModule(info);
  const CK_ULONG session = ToHandle(info[1]);
  const CK_ULONG user = ToUlong(info[2]);
  const Pin pin(info[3]);
  return ReturnValue(info.Env(), module->guarded.C_Login(session, user, pin.data(), pin.length()));
}

// initPin(id, session, pin)
Napi::Value InitPin(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 3);
  Module* module = ToModule(info);
  const CK_ULONG session = ToHandle(info[1]);
  const Pin pin(info[2]);
  return ReturnValue(info.Env(), module->guarded.C_InitPIN(session, pin.data(), pin.length()));
}

// setPin(id, session, oldPin, newPin)
Napi::Value SetPin(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 4);
  Module* module = ToModule(info);
  const CK_ULONG session = ToHandle(info[1]);
  const Pin from(info[2]);
  const Pin to(info[3]);
  return ReturnValue(info.Env(), module->guarded.C_SetPIN(session, from.data(), from.length(),
                                                          to.data(), to.length()));
}

// initToken(id, slotId, soPin, label of exactly 32 bytes)
Napi::Value InitToken(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 4);
  Module* module = ToModule(info);
  const CK_ULONG slot = ToHandle(info[1]);
  const Bytes label = ToBytes(info[3]);
  if (label.length != kLabelLength) Throw(info.Env(), "label is not 32 bytes long");
  CK_BYTE padded[kLabelLength];
  for (size_t at = 0; at < kLabelLength; at++) padded[at] = label.data[at];
  const Pin pin(info[2]);
  return ReturnValue(info.Env(),
                     module->guarded.C_InitToken(slot, pin.data(), pin.length(), padded));
}

}  // namespace

void ExportPinCalls(Napi::Env env, Napi::Object exports) {
  exports["login"] = Napi::Function::New<Login>(env);
  exports["initPin"] = Napi::Function::New<InitPin>(env);
  exports["setPin"] = Napi::Function::New<SetPin>(env);
  exports["initToken"] = Napi::Function::New<InitToken>(env);
}

}  // namespace keyrite
