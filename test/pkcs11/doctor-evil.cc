// Modules that break their process, for the doctor's tests. With REAL_MODULE, one that works like the
// real module except for one function.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../../bindings/cryptoki.h"

namespace {

[[maybe_unused]] CK_FUNCTION_LIST list;

[[maybe_unused, noreturn]] void Crash() {
  volatile int* nowhere = nullptr;
  *nowhere = 1;
  abort();
}

[[maybe_unused, noreturn]] void Hang() {
  for (;;) pause();
}

[[maybe_unused]] CK_RV Initialize(CK_VOID_PTR) {
#if defined(CRASH_IN_INITIALIZE)
  Crash();
#elif defined(HANG_IN_INITIALIZE)
  Hang();
#elif defined(EXIT_IN_INITIALIZE)
  exit(0);
#else
  return 0x30;  // CKR_DEVICE_ERROR
#endif
}

#if defined(REAL_MODULE)
CK_FUNCTION_LIST_PTR real;

[[maybe_unused]] CK_RV CrashOnWrap(CK_ULONG, CK_MECHANISM_PTR, CK_ULONG, CK_ULONG, CK_BYTE_PTR,
                                   CK_ULONG_PTR) {
  Crash();
}
[[maybe_unused]] CK_RV HangOnCreate(CK_ULONG, CK_ATTRIBUTE_PTR, CK_ULONG, CK_ULONG_PTR) { Hang(); }
[[maybe_unused]] CK_RV CrashOnFinalize(CK_VOID_PTR) { Crash(); }
[[maybe_unused]] CK_RV GoneOnWrap(CK_ULONG, CK_MECHANISM_PTR, CK_ULONG, CK_ULONG, CK_BYTE_PTR,
                                  CK_ULONG_PTR) {
  return 0x32;  // CKR_DEVICE_REMOVED
}
[[maybe_unused]] CK_RV SameRandom(CK_ULONG, CK_BYTE_PTR out, CK_ULONG length) {
  std::memset(out, 0x5a, length);
  return CKR_OK;
}
[[maybe_unused]] CK_RV WrongCipher(CK_ULONG session, CK_BYTE_PTR in, CK_ULONG in_length,
                                   CK_BYTE_PTR out, CK_ULONG_PTR out_length) {
  const CK_RV rv = real->C_Encrypt(session, in, in_length, out, out_length);
  if (rv == CKR_OK && out != nullptr && *out_length != 0) out[0] ^= 1;
  return rv;
}
[[maybe_unused]] CK_RV Chatter(CK_VOID_PTR arguments) {
  std::printf("{\"findings\":\"not an answer\"}\n");
  std::fflush(stdout);
  return real->C_Initialize(arguments);
}
// Steers the terminal of whoever prints it.
[[maybe_unused]] CK_RV EvilInfo(CK_VOID_PTR info) {
  const CK_RV rv = real->C_GetInfo(info);
  // libraryDescription of CK_INFO.
  std::memcpy(static_cast<char*>(info) + 48, "\033[2J\033[31mtrust me\007\r               ", 32);
  return rv;
}
#endif

}  // namespace

#if defined(CRASH_IN_CONSTRUCTOR)
__attribute__((constructor)) static void Construct() { abort(); }
#endif

#if !defined(NO_ENTRY)
extern "C" CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR* out) {
#if defined(CRASH_IN_GET_LIST)
  Crash();
#elif defined(NULL_LIST)
  *out = nullptr;
  return CKR_OK;
#elif defined(REAL_MODULE)
  void* handle = dlopen(REAL_MODULE, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return CKR_FUNCTION_FAILED;
  const auto get = reinterpret_cast<CK_RV (*)(CK_FUNCTION_LIST_PTR*)>(
      dlsym(handle, "C_GetFunctionList"));
  if (get(&real) != CKR_OK) return CKR_FUNCTION_FAILED;
  list = *real;
  list.REPLACE = WITH;
  *out = &list;
  return CKR_OK;
#else
  list = {};
  list.version = {2, 40};
#if defined(GARBAGE_VERSION)
  list.version = {0xde, 0xad};
#endif
  list.C_Initialize = Initialize;
  *out = &list;
  return CKR_OK;
#endif
}
#endif
