#include "aes_openssl.h"

#include <dlfcn.h>

namespace keyrite {
namespace {

// Declarations of OpenSSL 1.1.1 and 3 (EVP_EncryptInit(3)); contexts and ciphers are opaque.
struct Evp {
  void* (*context_new)();
  void (*context_free)(void*);
  int (*context_copy)(void*, const void*);
  int (*set_padding)(void*, int);
  int (*encrypt_init)(void*, const void*, void*, const unsigned char*, const unsigned char*);
  int (*encrypt_update)(void*, unsigned char*, int*, const unsigned char*, int);
  const void* (*aes_128_ecb)();
  const void* (*aes_192_ecb)();
  const void* (*aes_256_ecb)();
  bool complete;
};

template <typename Function>
bool Find(const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
  return *function != nullptr;
}

Evp FindAll() {
  Evp evp{};
  evp.complete = Find("EVP_CIPHER_CTX_new", &evp.context_new) &&
                 Find("EVP_CIPHER_CTX_free", &evp.context_free) &&
                 Find("EVP_CIPHER_CTX_copy", &evp.context_copy) &&
                 Find("EVP_CIPHER_CTX_set_padding", &evp.set_padding) &&
                 Find("EVP_EncryptInit_ex", &evp.encrypt_init) &&
                 Find("EVP_EncryptUpdate", &evp.encrypt_update) &&
                 Find("EVP_aes_128_ecb", &evp.aes_128_ecb) &&
                 Find("EVP_aes_192_ecb", &evp.aes_192_ecb) &&
                 Find("EVP_aes_256_ecb", &evp.aes_256_ecb);
  return evp;
}

const Evp& TheEvp() {
  static const Evp evp = FindAll();
  return evp;
}

}  // namespace

std::unique_ptr<OpenSslAes> OpenSslAes::Open(const uint8_t* key, size_t length) {
  const Evp& evp = TheEvp();
  if (!evp.complete) return nullptr;
  const auto cipher =
      length == 16 ? evp.aes_128_ecb : (length == 24 ? evp.aes_192_ecb : evp.aes_256_ecb);
  void* context = evp.context_new();
  if (context == nullptr) return nullptr;
  std::unique_ptr<OpenSslAes> aes(new OpenSslAes(context));
  if (evp.encrypt_init(context, cipher(), nullptr, key, nullptr) != 1) return nullptr;
  if (evp.set_padding(context, 0) != 1) return nullptr;
  return aes;
}

std::unique_ptr<OpenSslAes> OpenSslAes::Copy() const {
  const Evp& evp = TheEvp();
  void* context = evp.context_new();
  if (context == nullptr) return nullptr;
  std::unique_ptr<OpenSslAes> aes(new OpenSslAes(context));
  if (evp.context_copy(context, context_) != 1) return nullptr;
  return aes;
}

OpenSslAes::~OpenSslAes() { TheEvp().context_free(context_); }

CipherResult OpenSslAes::Encrypt(const uint8_t* in, uint8_t* out, size_t count) {
  const int length = static_cast<int>(count * kAesBlock);
  int written = 0;
  if (TheEvp().encrypt_update(context_, out, &written, in, length) == 1 && written == length) {
    return {};
  }
  return {CKR_FUNCTION_FAILED, "EVP_EncryptUpdate"};
}

}  // namespace keyrite
