// AES under a key in a token, through the module's guarded functions.
#ifndef KEYRITE_AES_TOKEN_H
#define KEYRITE_AES_TOKEN_H

#include "aes_engine.h"
#include "mechanism.h"
#include "module.h"

namespace keyrite {

enum class TokenMode {
  kOneCall,      // C_EncryptInit and C_Encrypt per call
  kMultiPart,    // one C_EncryptInit, C_EncryptUpdate per call, one C_EncryptFinal
  kSingleBlock,  // C_EncryptInit and C_Encrypt per block: one block of CBC, zero IV, is ECB
};

class TokenAes final : public AesEngine {
 public:
  // `mechanism` is the JavaScript object that class Mechanism reads.
  TokenAes(Module* module, CK_ULONG session, const Napi::Value& mechanism, CK_ULONG key,
           TokenMode mode)
      : stay_(module),
        module_(module),
        session_(session),
        mechanism_(mechanism),
        key_(key),
        mode_(mode) {}

  bool InPlace() const override { return false; }
  CipherResult Encrypt(const uint8_t* in, uint8_t* out, size_t count) override;
  CipherResult Finish() override;

 private:
  CipherResult Start();
  CipherResult EncryptAlone(const uint8_t* in, uint8_t* out, CK_ULONG length);
  CipherResult EncryptPart(const uint8_t* in, uint8_t* out, CK_ULONG length);

  Stay stay_;
  Module* module_;
  CK_ULONG session_;
  Mechanism mechanism_;
  CK_ULONG key_;
  TokenMode mode_;
  bool active_ = false;  // an operation is open in the session
};

}  // namespace keyrite

#endif
