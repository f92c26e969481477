// Entry point. The second one, C_GetFunctionList for pkcs11js, is in module.cc.
#include <napi.h>

#include "calls.h"
#include "module.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  keyrite::PinAddon();
  keyrite::ExportModuleCalls(env, exports);
  keyrite::ExportPinCalls(env, exports);
  keyrite::ExportObjectCalls(env, exports);
  keyrite::ExportKeyCalls(env, exports);
  keyrite::ExportFeistelCalls(env, exports);
  keyrite::ExportHeCalls(env, exports);
  return exports;
}

NODE_API_MODULE(keyrite, Init)
