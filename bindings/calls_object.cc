// Calls that carry templates: finding, reading, changing, creating and copying objects.
#include "arguments.h"
#include "attribute.h"
#include "calls.h"

namespace keyrite {
namespace {

constexpr uint32_t kMaxTypes = 256;

// findObjectsInit(id, session, template)
Napi::Value FindObjectsInit(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 3);
  Module* module = ToModule(info);
  Template filter(info[2]);
  return ReturnValue(info.Env(), module->guarded.C_FindObjectsInit(ToHandle(info[1]), filter.data(),
                                                                   filter.size()));
}

// getAttributes(id, session, object, types) -> {rv, values}
Napi::Value GetAttributes(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 4);
  Module* module = ToModule(info);
  if (!info[3].IsArray()) Throw(info.Env(), "expected an array of attribute types");
  const Napi::Array list = info[3].As<Napi::Array>();
  if (list.Length() > kMaxTypes) Throw(info.Env(), "more than 256 attribute types");
  std::vector<CK_ULONG> types;
  for (uint32_t at = 0; at < list.Length(); at++) types.push_back(ToUlong(list[at]));
  return ReadAttributes(info.Env(), module, ToHandle(info[1]), ToHandle(info[2]), types);
}

// setAttributes(id, session, object, template)
Napi::Value SetAttributes(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 4);
  Module* module = ToModule(info);
  Template change(info[3]);
  return ReturnValue(info.Env(),
                     module->guarded.C_SetAttributeValue(ToHandle(info[1]), ToHandle(info[2]),
                                                         change.data(), change.size()));
}

// createObject(id, session, template) -> {rv, handle}
Napi::Value CreateObject(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 3);
  Module* module = ToModule(info);
  Template object(info[2]);
  CK_ULONG handle = 0;
  const CK_RV rv =
      module->guarded.C_CreateObject(ToHandle(info[1]), object.data(), object.size(), &handle);
  return HandleResult(info.Env(), rv, handle);
}

// copyObject(id, session, object, template) -> {rv, handle}
Napi::Value CopyObject(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 4);
  Module* module = ToModule(info);
  Template change(info[3]);
  CK_ULONG handle = 0;
  const CK_RV rv = module->guarded.C_CopyObject(ToHandle(info[1]), ToHandle(info[2]), change.data(),
                                                change.size(), &handle);
  return HandleResult(info.Env(), rv, handle);
}

}  // namespace

void ExportObjectCalls(Napi::Env env, Napi::Object exports) {
  exports["findObjectsInit"] = Napi::Function::New<FindObjectsInit>(env);
  exports["getAttributes"] = Napi::Function::New<GetAttributes>(env);
  exports["setAttributes"] = Napi::Function::New<SetAttributes>(env);
  exports["createObject"] = Napi::Function::New<CreateObject>(env);
  exports["copyObject"] = Napi::Function::New<CopyObject>(env);
}

}  // namespace keyrite
