// Declarations of the Cryptoki C API that this addon needs: names, order and values of the
// function list are those of PKCS#11 v2.40 §5 (unchanged in v3.2). Unix only: structures are not
// packed there. Structures the addon merely passes on are opaque pointers.
#ifndef KEYRITE_CRYPTOKI_H
#define KEYRITE_CRYPTOKI_H

using CK_BYTE = unsigned char;
using CK_ULONG = unsigned long;
using CK_RV = CK_ULONG;
using CK_BYTE_PTR = CK_BYTE*;
using CK_ULONG_PTR = CK_ULONG*;
using CK_VOID_PTR = void*;

static_assert(sizeof(CK_ULONG) == 8 && sizeof(CK_VOID_PTR) == 8, "64-bit Unix (LP64) only");

struct CK_VERSION {
  CK_BYTE major;
  CK_BYTE minor;
};

struct CK_ATTRIBUTE {
  CK_ULONG type;
  CK_VOID_PTR pValue;
  CK_ULONG ulValueLen;
};
using CK_ATTRIBUTE_PTR = CK_ATTRIBUTE*;

struct CK_MECHANISM {
  CK_ULONG mechanism;
  CK_VOID_PTR pParameter;
  CK_ULONG ulParameterLen;
};
using CK_MECHANISM_PTR = CK_MECHANISM*;

struct CK_FUNCTION_LIST;
using CK_FUNCTION_LIST_PTR = CK_FUNCTION_LIST*;

constexpr CK_RV CKR_OK = 0x00;
constexpr CK_RV CKR_FUNCTION_FAILED = 0x06;
constexpr CK_RV CKR_ARGUMENTS_BAD = 0x07;
constexpr CK_RV CKR_ATTRIBUTE_SENSITIVE = 0x11;
constexpr CK_RV CKR_ATTRIBUTE_TYPE_INVALID = 0x12;
constexpr CK_RV CKR_FUNCTION_NOT_SUPPORTED = 0x54;
constexpr CK_RV CKR_OPERATION_ACTIVE = 0x90;
constexpr CK_RV CKR_BUFFER_TOO_SMALL = 0x150;
constexpr CK_RV CKR_CRYPTOKI_NOT_INITIALIZED = 0x190;
constexpr CK_RV CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191;

constexpr CK_ULONG CK_UNAVAILABLE_INFORMATION = ~0UL;

// Attributes whose value is an array of CK_ATTRIBUTE.
constexpr CK_ULONG CKA_WRAP_TEMPLATE = 0x40000211;
constexpr CK_ULONG CKA_UNWRAP_TEMPLATE = 0x40000212;
constexpr CK_ULONG CKA_DERIVE_TEMPLATE = 0x40000213;

// Every function in the order of CK_FUNCTION_LIST, with its argument types.
#define KEYRITE_C_FUNCTIONS(X)                                                                    \
  X(C_Initialize, CK_VOID_PTR)                                                                    \
  X(C_Finalize, CK_VOID_PTR)                                                                      \
  X(C_GetInfo, CK_VOID_PTR)                                                                       \
  X(C_GetFunctionList, CK_FUNCTION_LIST_PTR*)                                                     \
  X(C_GetSlotList, CK_BYTE, CK_ULONG_PTR, CK_ULONG_PTR)                                           \
  X(C_GetSlotInfo, CK_ULONG, CK_VOID_PTR)                                                         \
  X(C_GetTokenInfo, CK_ULONG, CK_VOID_PTR)                                                        \
  X(C_GetMechanismList, CK_ULONG, CK_ULONG_PTR, CK_ULONG_PTR)                                     \
  X(C_GetMechanismInfo, CK_ULONG, CK_ULONG, CK_VOID_PTR)                                          \
  X(C_InitToken, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR)                                    \
  X(C_InitPIN, CK_ULONG, CK_BYTE_PTR, CK_ULONG)                                                   \
  X(C_SetPIN, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG)                             \
  X(C_OpenSession, CK_ULONG, CK_ULONG, CK_VOID_PTR, CK_VOID_PTR, CK_ULONG_PTR)                    \
  X(C_CloseSession, CK_ULONG)                                                                     \
  X(C_CloseAllSessions, CK_ULONG)                                                                 \
  X(C_GetSessionInfo, CK_ULONG, CK_VOID_PTR)                                                      \
  X(C_GetOperationState, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)                                     \
  X(C_SetOperationState, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_ULONG, CK_ULONG)                     \
  X(C_Login, CK_ULONG, CK_ULONG, CK_BYTE_PTR, CK_ULONG)                                           \
  X(C_Logout, CK_ULONG)                                                                           \
  X(C_CreateObject, CK_ULONG, CK_ATTRIBUTE_PTR, CK_ULONG, CK_ULONG_PTR)                           \
  X(C_CopyObject, CK_ULONG, CK_ULONG, CK_ATTRIBUTE_PTR, CK_ULONG, CK_ULONG_PTR)                   \
  X(C_DestroyObject, CK_ULONG, CK_ULONG)                                                          \
  X(C_GetObjectSize, CK_ULONG, CK_ULONG, CK_ULONG_PTR)                                            \
  X(C_GetAttributeValue, CK_ULONG, CK_ULONG, CK_ATTRIBUTE_PTR, CK_ULONG)                          \
  X(C_SetAttributeValue, CK_ULONG, CK_ULONG, CK_ATTRIBUTE_PTR, CK_ULONG)                          \
  X(C_FindObjectsInit, CK_ULONG, CK_ATTRIBUTE_PTR, CK_ULONG)                                      \
  X(C_FindObjects, CK_ULONG, CK_ULONG_PTR, CK_ULONG, CK_ULONG_PTR)                                \
  X(C_FindObjectsFinal, CK_ULONG)                                                                 \
  X(C_EncryptInit, CK_ULONG, CK_MECHANISM_PTR, CK_ULONG)                                          \
  X(C_Encrypt, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)                        \
  X(C_EncryptUpdate, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)                  \
  X(C_EncryptFinal, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)                                          \
  X(C_DecryptInit, CK_ULONG, CK_MECHANISM_PTR, CK_ULONG)                                          \
  X(C_Decrypt, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)                        \
  X(C_DecryptUpdate, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)                  \
  X(C_DecryptFinal, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)                                          \
  X(C_DigestInit, CK_ULONG, CK_MECHANISM_PTR)                                                     \
  X(C_Digest, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)                         \
  X(C_DigestUpdate, CK_ULONG, CK_BYTE_PTR, CK_ULONG)                                              \
  X(C_DigestKey, CK_ULONG, CK_ULONG)                                                              \
  X(C_DigestFinal, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)                                           \
  X(C_SignInit, CK_ULONG, CK_MECHANISM_PTR, CK_ULONG)                                             \
  X(C_Sign, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)                           \
  X(C_SignUpdate, CK_ULONG, CK_BYTE_PTR, CK_ULONG)                                                \
  X(C_SignFinal, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)                                             \
  X(C_SignRecoverInit, CK_ULONG, CK_MECHANISM_PTR, CK_ULONG)                                      \
  X(C_SignRecover, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)                    \
  X(C_VerifyInit, CK_ULONG, CK_MECHANISM_PTR, CK_ULONG)                                           \
  X(C_Verify, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG)                             \
  X(C_VerifyUpdate, CK_ULONG, CK_BYTE_PTR, CK_ULONG)                                              \
  X(C_VerifyFinal, CK_ULONG, CK_BYTE_PTR, CK_ULONG)                                               \
  X(C_VerifyRecoverInit, CK_ULONG, CK_MECHANISM_PTR, CK_ULONG)                                    \
  X(C_VerifyRecover, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)                  \
  X(C_DigestEncryptUpdate, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)            \
  X(C_DecryptDigestUpdate, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)            \
  X(C_SignEncryptUpdate, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)              \
  X(C_DecryptVerifyUpdate, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)            \
  X(C_GenerateKey, CK_ULONG, CK_MECHANISM_PTR, CK_ATTRIBUTE_PTR, CK_ULONG, CK_ULONG_PTR)          \
  X(C_GenerateKeyPair, CK_ULONG, CK_MECHANISM_PTR, CK_ATTRIBUTE_PTR, CK_ULONG, CK_ATTRIBUTE_PTR,  \
    CK_ULONG, CK_ULONG_PTR, CK_ULONG_PTR)                                                         \
  X(C_WrapKey, CK_ULONG, CK_MECHANISM_PTR, CK_ULONG, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)         \
  X(C_UnwrapKey, CK_ULONG, CK_MECHANISM_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG, CK_ATTRIBUTE_PTR,   \
    CK_ULONG, CK_ULONG_PTR)                                                                       \
  X(C_DeriveKey, CK_ULONG, CK_MECHANISM_PTR, CK_ULONG, CK_ATTRIBUTE_PTR, CK_ULONG, CK_ULONG_PTR)  \
  X(C_SeedRandom, CK_ULONG, CK_BYTE_PTR, CK_ULONG)                                                \
  X(C_GenerateRandom, CK_ULONG, CK_BYTE_PTR, CK_ULONG)                                            \
  X(C_GetFunctionStatus, CK_ULONG)                                                                \
  X(C_CancelFunction, CK_ULONG)                                                                   \
  X(C_WaitForSlotEvent, CK_ULONG, CK_ULONG_PTR, CK_VOID_PTR)

struct CK_FUNCTION_LIST {
  CK_VERSION version;
#define KEYRITE_MEMBER(name, ...) CK_RV (*name)(__VA_ARGS__);
  KEYRITE_C_FUNCTIONS(KEYRITE_MEMBER)
#undef KEYRITE_MEMBER
};

// Position of each function in the list.
enum CFunction : unsigned {
#define KEYRITE_INDEX(name, ...) k##name,
  KEYRITE_C_FUNCTIONS(KEYRITE_INDEX)
#undef KEYRITE_INDEX
      kFunctionCount
};

#endif
