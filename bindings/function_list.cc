// The function list handed to pkcs11js and used by this addon itself. One small function per
// module record and C function: it counts the call, refuses it while the module is being closed,
// answers CKR_FUNCTION_NOT_SUPPORTED where the module's own list has NULL, and else forwards.
#include "module.h"

namespace keyrite {
namespace {

// Counts a call as in flight for as long as it lives. `in_flight` first, `closing` second; the
// closing side does it the other way round, so one of the two always sees the other.
class Passage {
 public:
  Passage(Module& module, unsigned function) : module_(module) {
    module_.calls[function].fetch_add(1, std::memory_order_relaxed);
    module_.in_flight.fetch_add(1);
    list_ = module_.closing ? nullptr : module_.real.load();
  }
  ~Passage() { module_.in_flight.fetch_sub(1); }
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;
  CK_FUNCTION_LIST_PTR list() const { return list_; }

 private:
  Module& module_;
  CK_FUNCTION_LIST_PTR list_;
};

template <unsigned Id, unsigned Index, auto Member>
struct Guarded;

template <unsigned Id, unsigned Index, typename... Args, CK_RV (*CK_FUNCTION_LIST::*Member)(Args...)>
struct Guarded<Id, Index, Member> {
  static CK_RV Call(Args... args) {
    const Passage passage(modules[Id], Index);
    if (passage.list() == nullptr) return CKR_CRYPTOKI_NOT_INITIALIZED;
    const auto function = passage.list()->*Member;
    return function == nullptr ? CKR_FUNCTION_NOT_SUPPORTED : function(args...);
  }
};

// Whether somebody finalised the module without going through this list (another binding that
// loaded the same file).
bool FinalisedElsewhere(CK_FUNCTION_LIST_PTR list) {
  alignas(CK_ULONG) CK_BYTE info[256];  // CK_INFO has 88 bytes
  return list->C_GetInfo != nullptr && list->C_GetInfo(info) == CKR_CRYPTOKI_NOT_INITIALIZED;
}

// Modules do not make C_Initialize atomic (SoftHSM 2.6 lets several threads initialise at once).
template <unsigned Id>
CK_RV Initialize(CK_VOID_PTR arguments) {
  Module& module = modules[Id];
  const std::lock_guard<std::mutex> lock(module.lifecycle);
  const Passage passage(module, kC_Initialize);
  if (passage.list() == nullptr) return CKR_CRYPTOKI_NOT_INITIALIZED;
  if (passage.list()->C_Initialize == nullptr) return CKR_FUNCTION_NOT_SUPPORTED;
  if (module.initialized && !FinalisedElsewhere(passage.list())) {
    return CKR_CRYPTOKI_ALREADY_INITIALIZED;
  }
  const CK_RV rv = passage.list()->C_Initialize(arguments);
  if (rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) module.initialized = true;
  return rv;
}

// Never while another call is inside the module: that crashes.
template <unsigned Id>
CK_RV Finalize(CK_VOID_PTR reserved) {
  Module& module = modules[Id];
  const std::lock_guard<std::mutex> lock(module.lifecycle);
  module.calls[kC_Finalize].fetch_add(1, std::memory_order_relaxed);
  CK_FUNCTION_LIST_PTR real = module.real;
  if (real == nullptr) return CKR_CRYPTOKI_NOT_INITIALIZED;
  if (real->C_Finalize == nullptr) return CKR_FUNCTION_NOT_SUPPORTED;
  module.closing = true;
  if (module.in_flight != 0) {
    module.closing = false;
    return CKR_OPERATION_ACTIVE;
  }
  const CK_RV rv = real->C_Finalize(reserved);
  if (rv == CKR_OK || rv == CKR_CRYPTOKI_NOT_INITIALIZED) module.initialized = false;
  module.closing = false;
  return rv;
}

template <unsigned Id>
CK_RV GetFunctionList(CK_FUNCTION_LIST_PTR* list) {
  if (list == nullptr) return CKR_ARGUMENTS_BAD;
  *list = &modules[Id].guarded;
  return CKR_OK;
}

template <unsigned Id>
void Fill(CK_FUNCTION_LIST* list) {
#define KEYRITE_FILL(name, ...) list->name = Guarded<Id, k##name, &CK_FUNCTION_LIST::name>::Call;
  KEYRITE_C_FUNCTIONS(KEYRITE_FILL)
#undef KEYRITE_FILL
  list->C_Initialize = Initialize<Id>;
  list->C_Finalize = Finalize<Id>;
  list->C_GetFunctionList = GetFunctionList<Id>;
}

using Filler = void (*)(CK_FUNCTION_LIST*);
constexpr Filler kFillers[kMaxModules] = {Fill<0>, Fill<1>, Fill<2>, Fill<3>,
                                          Fill<4>, Fill<5>, Fill<6>, Fill<7>};

}  // namespace

void FillGuardedList(unsigned id, CK_FUNCTION_LIST* list) { kFillers[id](list); }

}  // namespace keyrite
