// Opening, arming, unloading and observing modules.
#include "arguments.h"
#include "calls.h"
#include "secret.h"

namespace keyrite {
namespace {

const char* const kFunctionNames[kFunctionCount] = {
#define KEYRITE_NAME(name, ...) #name,
    KEYRITE_C_FUNCTIONS(KEYRITE_NAME)
#undef KEYRITE_NAME
};

const char* Code(OpenStatus status) {
  switch (status) {
    case OpenStatus::kOk:
      return "OK";
    case OpenStatus::kCannotLoad:
      return "CANNOT_LOAD";
    case OpenStatus::kNoEntryPoint:
      return "NO_ENTRY_POINT";
    case OpenStatus::kBadFunctionList:
      return "BAD_FUNCTION_LIST";
    case OpenStatus::kIsThisAddon:
      return "IS_KEYRITE_ADDON";
    case OpenStatus::kTooMany:
      return "TOO_MANY_MODULES";
  }
  return "OK";
}

// open(path) -> {code, id, detail}
Napi::Value Open(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 1);
  if (!info[0].IsString()) Throw(info.Env(), "expected a path");
  const OpenResult result = OpenModule(info[0].As<Napi::String>().Utf8Value());
  Napi::Object out = Napi::Object::New(info.Env());
  out["code"] = Napi::String::New(info.Env(), Code(result.status));
  out["id"] = Napi::Number::New(info.Env(), result.id);
  out["detail"] = Napi::String::New(info.Env(), result.detail);
  return out;
}

// arm(id): the next C_GetFunctionList of this thread returns this module's list, once.
Napi::Value Arm(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 1);
  return Napi::Boolean::New(info.Env(), ArmFunctionList(static_cast<unsigned>(ToUlong(info[0]))));
}

// unload(id) -> false when calls are in flight
Napi::Value Unload(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 1);
  return Napi::Boolean::New(info.Env(), UnloadModule(static_cast<unsigned>(ToUlong(info[0]))));
}

// state(id) -> {initialized, inFlight}
Napi::Value State(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 1);
  Module* module = ToModule(info);
  Napi::Object out = Napi::Object::New(info.Env());
  out["initialized"] = Napi::Boolean::New(info.Env(), module->initialized);
  out["inFlight"] = Napi::Number::New(info.Env(), module->in_flight);
  return out;
}

// calls(id) -> {C_Login: 1, ...}: how often each function was called, by anybody, since it was opened.
Napi::Value Calls(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 1);
  Module* module = ToModule(info);
  Napi::Object out = Napi::Object::New(info.Env());
  for (unsigned at = 0; at < kFunctionCount; at++) {
    const uint64_t count = module->calls[at];
    if (count != 0) out[kFunctionNames[at]] = Napi::Number::New(info.Env(), static_cast<double>(count));
  }
  return out;
}

// forbidCoreFiles() -> whether the system agreed
Napi::Value CoreFiles(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 0);
  return Napi::Boolean::New(info.Env(), ForbidCoreFiles());
}

}  // namespace

void ExportModuleCalls(Napi::Env env, Napi::Object exports) {
  exports["open"] = Napi::Function::New<Open>(env);
  exports["arm"] = Napi::Function::New<Arm>(env);
  exports["unload"] = Napi::Function::New<Unload>(env);
  exports["state"] = Napi::Function::New<State>(env);
  exports["calls"] = Napi::Function::New<Calls>(env);
  exports["forbidCoreFiles"] = Napi::Function::New<CoreFiles>(env);
}

}  // namespace keyrite
