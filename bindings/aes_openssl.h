// AES of the OpenSSL that is part of this process (Node's), found at run time.
#ifndef KEYRITE_AES_OPENSSL_H
#define KEYRITE_AES_OPENSSL_H

#include <memory>

#include "aes_engine.h"

namespace keyrite {

// An expanded key. OpenSSL wipes it when it is freed.
class OpenSslAes final : public AesEngine {
 public:
  // Null where the process exports no EVP functions, or they refuse. `length` is 16, 24 or 32.
  static std::unique_ptr<OpenSslAes> Open(const uint8_t* key, size_t length);
  // A copy for a job on another thread. Null when there is no memory.
  std::unique_ptr<OpenSslAes> Copy() const;
  ~OpenSslAes() override;

  bool InPlace() const override { return true; }
  CipherResult Encrypt(const uint8_t* in, uint8_t* out, size_t count) override;

 private:
  explicit OpenSslAes(void* context) : context_(context) {}
  void* context_;
};

}  // namespace keyrite

#endif
