#include "module.h"

#include <dlfcn.h>

#include <cstdio>

namespace keyrite {

std::array<Module, kMaxModules> modules;

namespace {

std::mutex registry;
unsigned used = 0;
thread_local int armed = -1;

OpenResult Refuse(OpenStatus status, const char* detail) {
  return {status, 0, detail == nullptr ? std::string() : std::string(detail)};
}

using GetFunctionList = CK_RV (*)(CK_FUNCTION_LIST_PTR*);

}  // namespace

extern "C" __attribute__((visibility("default"))) CK_RV C_GetFunctionList(
    CK_FUNCTION_LIST_PTR* list) {
  if (list == nullptr) return CKR_ARGUMENTS_BAD;
  *list = nullptr;
  if (armed < 0) return CKR_FUNCTION_FAILED;
  *list = &modules[static_cast<unsigned>(armed)].guarded;
  armed = -1;
  return CKR_OK;
}

OpenResult OpenModule(const std::string& path) {
  const std::lock_guard<std::mutex> lock(registry);
  // RTLD_NOW: an unresolved symbol is an error here and not a crash at the first call.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return Refuse(OpenStatus::kCannotLoad, dlerror());

  for (unsigned id = 0; id < used; id++) {
    if (modules[id].handle != handle) continue;
    dlclose(handle);  // the record holds its own reference
    return {OpenStatus::kOk, id, std::string()};
  }

  const auto entry = reinterpret_cast<GetFunctionList>(dlsym(handle, "C_GetFunctionList"));
  if (entry == nullptr) {
    dlclose(handle);
    return Refuse(OpenStatus::kNoEntryPoint, "no symbol C_GetFunctionList");
  }
  if (entry == &C_GetFunctionList) {
    dlclose(handle);
    return Refuse(OpenStatus::kIsThisAddon, "this is keyrite's own addon");
  }
  CK_FUNCTION_LIST_PTR list = nullptr;
  const CK_RV rv = entry(&list);
  if (rv != CKR_OK || list == nullptr || list->version.major < 2 || list->version.major > 3) {
    char text[96];
    std::snprintf(text, sizeof text, "C_GetFunctionList returned 0x%lx and list version %d", rv,
                  rv == CKR_OK && list != nullptr ? list->version.major : -1);
    dlclose(handle);
    return Refuse(OpenStatus::kBadFunctionList, text);
  }

  unsigned id = used;
  for (unsigned at = 0; at < used; at++) {
    if (modules[at].handle == nullptr && modules[at].path == path) id = at;
  }
  if (id == kMaxModules) {
    dlclose(handle);
    return Refuse(OpenStatus::kTooMany, "8 different modules in one process");
  }
  Module& module = modules[id];
  module.path = path;
  module.handle = handle;
  FillGuardedList(id, &module.guarded);
  module.guarded.version = list->version;
  module.initialized = false;
  module.real = list;
  module.closing = false;
  if (id == used) used++;
  return {OpenStatus::kOk, id, std::string()};
}

bool UnloadModule(unsigned id) {
  const std::lock_guard<std::mutex> lock(registry);
  Module* module = FindModule(id);
  if (module == nullptr || module->handle == nullptr) return true;
  const std::lock_guard<std::mutex> lifecycle(module->lifecycle);
  module->closing = true;
  if (module->in_flight != 0) {
    module->closing = false;
    return false;
  }
  module->real = nullptr;
  module->initialized = false;
  dlclose(module->handle);
  module->handle = nullptr;
  return true;
}

bool ArmFunctionList(unsigned id) {
  Module* module = FindModule(id);
  if (module == nullptr || module->real == nullptr) return false;
  armed = static_cast<int>(id);
  return true;
}

Module* FindModule(unsigned id) { return id < used ? &modules[id] : nullptr; }

void PinAddon() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&C_GetFunctionList), &self) != 0) {
    dlopen(self.dli_fname, RTLD_NOW | RTLD_NODELETE);
  }
}

}  // namespace keyrite
