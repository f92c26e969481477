// A PKCS#11 module with faults that no real module shows on demand. Test code only.
// Compile-time variants: NO_LIST (C_GetFunctionList fails), BAD_VERSION, NO_ENTRY (not a module).
// Run-time: libraryParameters "log=FILE" names the file observations are appended to.
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "../../bindings/cryptoki.h"

namespace {

std::string log_path;

void Log(const std::string& line) {
  if (log_path.empty()) return;
  FILE* file = std::fopen(log_path.c_str(), "a");
  if (file == nullptr) return;
  std::fprintf(file, "%s\n", line.c_str());
  std::fclose(file);
}

struct InitializeArguments {
  void* mutex_functions[4];
  CK_ULONG flags;
  const char* parameters;
};

CK_RV Initialize(CK_VOID_PTR raw) {
  const auto* arguments = static_cast<const InitializeArguments*>(raw);
  const char* parameters = arguments->parameters == nullptr ? "" : arguments->parameters;
  if (std::strncmp(parameters, "log=", 4) == 0) {
    log_path = parameters + 4;
    while (!log_path.empty() && log_path.back() == ' ') log_path.pop_back();
  }
  Log("C_Initialize flags=" + std::to_string(arguments->flags) + " parameters=[" + parameters + "]");
  return CKR_OK;
}

CK_RV Finalize(CK_VOID_PTR) {
  Log("C_Finalize");
  return CKR_OK;
}

CK_RV OpenSession(CK_ULONG slot, CK_ULONG, CK_VOID_PTR, CK_VOID_PTR, CK_ULONG_PTR session) {
  *session = slot;
  return CKR_OK;
}

CK_RV CloseSession(CK_ULONG) { return CKR_OK; }

std::string Describe(CK_BYTE_PTR pin, CK_ULONG length) {
  return (pin == nullptr ? "NULL/" : "bytes/") + std::to_string(length);
}

CK_RV Login(CK_ULONG, CK_ULONG user, CK_BYTE_PTR pin, CK_ULONG length) {
  Log("C_Login user=" + std::to_string(user) + " pin=" + Describe(pin, length));
  return CKR_OK;
}

CK_RV InitPin(CK_ULONG, CK_BYTE_PTR pin, CK_ULONG length) {
  Log("C_InitPIN pin=" + Describe(pin, length));
  return CKR_OK;
}

CK_RV SetPin(CK_ULONG, CK_BYTE_PTR from, CK_ULONG from_length, CK_BYTE_PTR to, CK_ULONG to_length) {
  Log("C_SetPIN old=" + Describe(from, from_length) + " new=" + Describe(to, to_length));
  return CKR_OK;
}

CK_RV InitToken(CK_ULONG, CK_BYTE_PTR pin, CK_ULONG length, CK_BYTE_PTR label) {
  Log("C_InitToken pin=" + Describe(pin, length) + " label=[" +
      std::string(reinterpret_cast<char*>(label), 32) + "]");
  return CKR_OK;
}

// 13 bytes take a second: a call that is in flight.
CK_RV GenerateRandom(CK_ULONG, CK_BYTE_PTR out, CK_ULONG length) {
  if (length == 13) usleep(1000 * 1000);
  std::memset(out, 0x5a, length);
  return CKR_OK;
}

// All bits set, as RPC clients answer when their server is gone.
CK_RV Logout(CK_ULONG) { return ~0UL; }

CK_RV AttributeValue(CK_ULONG, CK_ULONG object, CK_ATTRIBUTE_PTR list, CK_ULONG count) {
  switch (object) {
    case 1:  // an absurd length
      for (CK_ULONG at = 0; at < count; at++) list[at].ulValueLen = 1UL << 46;
      return CKR_OK;
    case 2:  // claims to have written more than it was given room for
      for (CK_ULONG at = 0; at < count; at++) {
        list[at].ulValueLen = list[at].pValue == nullptr ? 4 : 4000;
      }
      return CKR_OK;
    case 3:  // stops at the first attribute it does not know and leaves the rest untouched
      for (CK_ULONG at = 0; at < count; at++) {
        if (list[at].type != 3) return CKR_ATTRIBUTE_TYPE_INVALID;
        if (list[at].pValue != nullptr) std::memcpy(list[at].pValue, "abc", 3);
        list[at].ulValueLen = 3;
      }
      return CKR_OK;
    case 4: {  // a template whose element has an absurd length
      auto* inner = static_cast<CK_ATTRIBUTE_PTR>(list[0].pValue);
      list[0].ulValueLen = sizeof(CK_ATTRIBUTE);
      if (inner != nullptr) *inner = {0x162, inner->pValue, 1UL << 50};
      return CKR_OK;
    }
    case 5:  // a template that is not a whole number of attributes
      list[0].ulValueLen = 7;
      return CKR_OK;
    default:
      return ~0UL;
  }
}

CK_FUNCTION_LIST list;

}  // namespace

#if !defined(NO_ENTRY)
extern "C" CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR* out) {
#if defined(NO_LIST)
  *out = nullptr;
  return CKR_FUNCTION_FAILED;
#endif
  list = {};
  list.version = {2, 40};
#if defined(BAD_VERSION)
  list.version = {99, 0};
#endif
  list.C_Initialize = Initialize;
  list.C_Finalize = Finalize;
  list.C_OpenSession = OpenSession;
  list.C_CloseSession = CloseSession;
  list.C_Login = Login;
  list.C_InitPIN = InitPin;
  list.C_SetPIN = SetPin;
  list.C_InitToken = InitToken;
  list.C_GenerateRandom = GenerateRandom;
  list.C_Logout = Logout;
  list.C_GetAttributeValue = AttributeValue;
  // C_GetInfo, C_GetSlotList and all others stay NULL.
  *out = &list;
  return CKR_OK;
}
#endif
