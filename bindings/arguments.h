// Conversion between JavaScript values and Cryptoki types. Wrong types throw Napi::TypeError.
#ifndef KEYRITE_ARGUMENTS_H
#define KEYRITE_ARGUMENTS_H

#include <napi.h>

#include "cryptoki.h"
#include "module.h"

namespace keyrite {

struct Bytes {
  const CK_BYTE* data;
  size_t length;
};

[[noreturn]] void Throw(Napi::Env env, const char* message);

// A number 0 to 2^32-1.
CK_ULONG ToUlong(const Napi::Value& value);

// A bigint 0 to 2^64-1: session and object handles, slot ids.
CK_ULONG ToHandle(const Napi::Value& value);

// The bytes of a Uint8Array, valid until JavaScript runs again.
Bytes ToBytes(const Napi::Value& value);

// The module whose id is the first argument; throws when there is none.
Module* ToModule(const Napi::CallbackInfo& info);

// Throws unless exactly `count` arguments were passed.
void ExpectArguments(const Napi::CallbackInfo& info, size_t count);

// A CK_RV as a number; all ones as -1.
Napi::Number ReturnValue(Napi::Env env, CK_RV rv);

// {rv, handle}
Napi::Object HandleResult(Napi::Env env, CK_RV rv, CK_ULONG handle);

Napi::Uint8Array CopyToJs(Napi::Env env, const CK_BYTE* data, size_t length);

}  // namespace keyrite

#endif
