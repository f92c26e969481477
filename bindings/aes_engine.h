// A source of AES-ECB blocks for the rounds: a key in a token or in this process.
#ifndef KEYRITE_AES_ENGINE_H
#define KEYRITE_AES_ENGINE_H

#include <cstddef>
#include <cstdint>

#include "cryptoki.h"

namespace keyrite {

constexpr size_t kAesBlock = 16;

// What a call came to; `fn` names the function that refused, and is empty with CKR_OK.
struct CipherResult {
  CK_RV rv = CKR_OK;
  const char* fn = "";
};

class AesEngine {
 public:
  virtual ~AesEngine() = default;
  AesEngine() = default;
  AesEngine(const AesEngine&) = delete;
  AesEngine& operator=(const AesEngine&) = delete;

  // Whether Encrypt may be given the same memory twice.
  virtual bool InPlace() const = 0;
  // Encrypts `count` blocks.
  virtual CipherResult Encrypt(const uint8_t* in, uint8_t* out, size_t count) = 0;
  // Ends the job; `ok`: all its calls succeeded.
  virtual CipherResult Finish(bool /*ok*/) { return {}; }
  // An operation stays open after the job.
  virtual bool LeftOpen() const { return false; }
};

}  // namespace keyrite

#endif
