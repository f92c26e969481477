// AES under a key in a token, through the module's guarded functions.
#ifndef KEYRITE_AES_TOKEN_H
#define KEYRITE_AES_TOKEN_H

#include <utility>

#include "aes_engine.h"
#include "mechanism.h"
#include "module.h"

namespace keyrite {

enum class TokenMode {
  kOneCall,      // C_EncryptInit and C_Encrypt per call
  kMultiPart,    // C_EncryptUpdate per call, in one operation
  kSingleBlock,  // C_EncryptInit and C_Encrypt per block: one block of CBC, zero IV, is ECB
};

// A session has one operation of a kind at a time, and modules crash when two threads begin one
// (SoftHSM 2.6): the first job on a session has it until it ends.
class SessionClaim {
 public:
  SessionClaim(const Module* module, CK_ULONG session);
  ~SessionClaim();
  SessionClaim(const SessionClaim&) = delete;
  SessionClaim& operator=(const SessionClaim&) = delete;
  // False: another job has the session.
  bool held() const { return held_; }

 private:
  std::pair<const Module*, CK_ULONG> session_;
  bool held_;
};

// An operation over several jobs (kMultiPart).
struct Standing {
  bool begun = false;       // it is open in the session already
  bool leave_open = false;  // it stays open when the job succeeds
};

class TokenAes final : public AesEngine {
 public:
  // `mechanism` is the JavaScript object that class Mechanism reads.
  TokenAes(Module* module, CK_ULONG session, const Napi::Value& mechanism, CK_ULONG key,
           TokenMode mode, Standing standing)
      : stay_(module),
        claim_(module, session),
        module_(module),
        session_(session),
        mechanism_(mechanism),
        key_(key),
        mode_(mode),
        leave_open_(standing.leave_open),
        active_(standing.begun && claim_.held()) {}

  bool InPlace() const override { return false; }
  CipherResult Encrypt(const uint8_t* in, uint8_t* out, size_t count) override;
  CipherResult Finish(bool ok) override;
  bool LeftOpen() const override { return active_; }

 private:
  CipherResult Start();
  CipherResult EncryptAlone(const uint8_t* in, uint8_t* out, CK_ULONG length);
  CipherResult EncryptPart(const uint8_t* in, uint8_t* out, CK_ULONG length);

  Stay stay_;
  SessionClaim claim_;
  Module* module_;
  CK_ULONG session_;
  Mechanism mechanism_;
  CK_ULONG key_;
  TokenMode mode_;
  bool leave_open_;
  bool active_;  // an operation is open in the session
};

}  // namespace keyrite

#endif
