// A PKCS#11 module that passes every call on to a real one, and on request is slow, fails at a chosen call,
// or lacks a mechanism. Test code only. REAL_MODULE and CONTROL (a file of 64-bit numbers, mapped into
// memory, so that a test changes its mind without a call) are paths given at compile time.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>

#include "../../bindings/cryptoki.h"

namespace {

constexpr CK_ULONG kAesEcb = 0x1081;
constexpr CK_RV kMechanismInvalid = 0x70;

// In the order of `interposer.ts`.
struct Control {
  std::atomic<uint64_t> delay_ns;        // before every call of the C_Encrypt family
  std::atomic<uint64_t> no_ecb;          // 1: the token has no AES-ECB
  std::atomic<uint64_t> update;          // C_EncryptUpdate: 0 works, 1 is missing, 2 holds everything back
  std::atomic<uint64_t> fault_function;  // CFunction that fails
  std::atomic<uint64_t> fault_in;        // after so many more calls of it
  std::atomic<uint64_t> fault_times;     // so many times
  std::atomic<uint64_t> fault_rv;        // with this return value
};

Control* control;
CK_FUNCTION_LIST list;
CK_FUNCTION_LIST_PTR real;
std::mutex fault;
std::string held;  // of C_EncryptUpdate

void Delay() {
  const uint64_t ns = control->delay_ns;
  if (ns == 0) return;
  const timespec time = {static_cast<time_t>(ns / 1000000000), static_cast<long>(ns % 1000000000)};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
}

// Delays the call; then CKR_OK, or what it shall fail with.
CK_RV Before(CFunction function) {
  Delay();
  const std::lock_guard<std::mutex> lock(fault);
  if (control->fault_times == 0 || control->fault_function != function) return CKR_OK;
  if (control->fault_in > 0) {
    control->fault_in--;
    return CKR_OK;
  }
  control->fault_times--;
  return control->fault_rv;
}

CK_RV EncryptInit(CK_ULONG session, CK_MECHANISM_PTR mechanism, CK_ULONG key) {
  const CK_RV rv = Before(kC_EncryptInit);
  if (rv != CKR_OK) return rv;
  if (control->no_ecb != 0 && mechanism->mechanism == kAesEcb) return kMechanismInvalid;
  return real->C_EncryptInit(session, mechanism, key);
}

CK_RV Encrypt(CK_ULONG session, CK_BYTE_PTR in, CK_ULONG length, CK_BYTE_PTR out, CK_ULONG_PTR size) {
  const CK_RV rv = Before(kC_Encrypt);
  return rv == CKR_OK ? real->C_Encrypt(session, in, length, out, size) : rv;
}

CK_RV EncryptUpdate(CK_ULONG session, CK_BYTE_PTR in, CK_ULONG length, CK_BYTE_PTR out,
                    CK_ULONG_PTR size) {
  const CK_RV rv = Before(kC_EncryptUpdate);
  if (rv != CKR_OK) return rv;
  if (control->update == 1) return CKR_FUNCTION_NOT_SUPPORTED;
  if (control->update == 0) return real->C_EncryptUpdate(session, in, length, out, size);
  held.append(reinterpret_cast<char*>(in), length);
  *size = 0;
  return CKR_OK;
}

CK_RV EncryptFinal(CK_ULONG session, CK_BYTE_PTR out, CK_ULONG_PTR size) {
  const CK_RV rv = Before(kC_EncryptFinal);
  if (rv != CKR_OK) return rv;
  if (control->update != 2) return real->C_EncryptFinal(session, out, size);
  std::string all;
  all.swap(held);
  auto* bytes = reinterpret_cast<CK_BYTE_PTR>(all.data());
  const CK_RV updated = real->C_EncryptUpdate(session, bytes, all.size(), out, size);
  if (updated != CKR_OK) return updated;
  CK_BYTE none[16];
  CK_ULONG room = sizeof none;
  return real->C_EncryptFinal(session, none, &room);
}

CK_RV MechanismList(CK_ULONG slot, CK_ULONG_PTR out, CK_ULONG_PTR count) {
  const CK_RV rv = real->C_GetMechanismList(slot, out, count);
  if (rv != CKR_OK || out == nullptr || control->no_ecb == 0) return rv;
  CK_ULONG kept = 0;
  for (CK_ULONG at = 0; at < *count; at++) {
    if (out[at] != kAesEcb) out[kept++] = out[at];
  }
  *count = kept;
  return rv;
}

bool Load() {
  const int file = open(CONTROL, O_RDWR | O_CLOEXEC);
  if (file < 0) return false;
  void* mapped = mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) return false;
  control = static_cast<Control*>(mapped);
  void* library = dlopen(REAL_MODULE, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return false;
  const auto entry =
      reinterpret_cast<CK_RV (*)(CK_FUNCTION_LIST_PTR*)>(dlsym(library, "C_GetFunctionList"));
  if (entry == nullptr || entry(&real) != CKR_OK) return false;
  list = *real;
  list.C_EncryptInit = EncryptInit;
  list.C_Encrypt = Encrypt;
  list.C_EncryptUpdate = EncryptUpdate;
  list.C_EncryptFinal = EncryptFinal;
  list.C_GetMechanismList = MechanismList;
  return true;
}

}  // namespace

extern "C" CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR* out) {
  static const bool loaded = Load();
  if (!loaded) return CKR_FUNCTION_FAILED;
  *out = &list;
  return CKR_OK;
}
