// Registration of the functions JavaScript sees.
#ifndef KEYRITE_CALLS_H
#define KEYRITE_CALLS_H

#include <napi.h>

namespace keyrite {

void ExportModuleCalls(Napi::Env env, Napi::Object exports);
void ExportPinCalls(Napi::Env env, Napi::Object exports);
void ExportObjectCalls(Napi::Env env, Napi::Object exports);
void ExportKeyCalls(Napi::Env env, Napi::Object exports);
void ExportFeistelCalls(Napi::Env env, Napi::Object exports);
void ExportHeCalls(Napi::Env env, Napi::Object exports);

}  // namespace keyrite

#endif
