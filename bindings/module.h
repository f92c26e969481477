// The modules of this process. One record per module, for ever: pkcs11js keeps the address of
// the function list it was given, so a record is never freed and never given to another module.
#ifndef KEYRITE_MODULE_H
#define KEYRITE_MODULE_H

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "cryptoki.h"

namespace keyrite {

constexpr unsigned kMaxModules = 8;

struct Module {
  std::string path;
  void* handle = nullptr;
  std::atomic<CK_FUNCTION_LIST_PTR> real{nullptr};
  CK_FUNCTION_LIST guarded{};  // what callers use: counts, checks, then calls `real`
  std::mutex lifecycle;        // C_Initialize and C_Finalize, which modules do not make atomic
  std::atomic<bool> initialized{false};
  std::atomic<bool> closing{false};
  std::atomic<int> in_flight{0};
  std::array<std::atomic<uint64_t>, kFunctionCount> calls{};
};

// Counts work of several calls as in flight between them too: a module that is finalised there
// crashes at the next call, or takes the numbers of sessions and keys for others.
class Stay {
 public:
  explicit Stay(Module* module) : module_(module) { module_->in_flight.fetch_add(1); }
  ~Stay() { module_->in_flight.fetch_sub(1); }
  Stay(const Stay&) = delete;
  Stay& operator=(const Stay&) = delete;

 private:
  Module* module_;
};

enum class OpenStatus { kOk, kCannotLoad, kNoEntryPoint, kBadFunctionList, kIsThisAddon, kTooMany };

struct OpenResult {
  OpenStatus status;
  unsigned id;
  std::string detail;  // dlerror text or the return value
};

OpenResult OpenModule(const std::string& path);

// dlclose; the record stays and answers CKR_CRYPTOKI_NOT_INITIALIZED until it is opened again.
// False when calls are inside the module.
bool UnloadModule(unsigned id);

// The next C_GetFunctionList of this thread returns the list of module `id`, once.
bool ArmFunctionList(unsigned id);

// Null when there is no such module.
Module* FindModule(unsigned id);

// Keeps this addon mapped when the worker that loaded it first ends.
void PinAddon();

// Fills `list` with the guarded functions of record `id` (function_list.cc).
void FillGuardedList(unsigned id, CK_FUNCTION_LIST* list);

extern std::array<Module, kMaxModules> modules;

}  // namespace keyrite

#endif
