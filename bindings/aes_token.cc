#include "aes_token.h"

#include <mutex>
#include <set>

#include "secret.h"

namespace keyrite {
namespace {

// An error ends an operation, this one and a call that succeeded with too little do not
// (PKCS#11 v2.40 §5.2).
bool StillActive(CK_RV rv) { return rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL; }

CK_RV Checked(CK_RV rv, CK_ULONG got, CK_ULONG expected) {
  return rv == CKR_OK && got != expected ? CKR_FUNCTION_FAILED : rv;
}

// The functions take pointers to bytes they do not change.
CK_BYTE_PTR Unconst(const uint8_t* bytes) { return const_cast<CK_BYTE_PTR>(bytes); }

std::mutex claims_lock;
std::set<std::pair<const Module*, CK_ULONG>> claims;

}  // namespace

SessionClaim::SessionClaim(const Module* module, CK_ULONG session) : session_(module, session) {
  const std::lock_guard<std::mutex> lock(claims_lock);
  held_ = claims.insert(session_).second;
}

SessionClaim::~SessionClaim() {
  if (!held_) return;
  const std::lock_guard<std::mutex> lock(claims_lock);
  claims.erase(session_);
}

CipherResult TokenAes::Start() {
  if (!claim_.held()) return {CKR_OPERATION_ACTIVE, "C_EncryptInit"};
  const CK_RV rv = module_->guarded.C_EncryptInit(session_, mechanism_.get(), key_);
  active_ = rv == CKR_OK;
  return {rv, active_ ? "" : "C_EncryptInit"};
}

CipherResult TokenAes::EncryptAlone(const uint8_t* in, uint8_t* out, CK_ULONG length) {
  const CipherResult started = Start();
  if (started.rv != CKR_OK) return started;
  CK_ULONG written = length;
  const CK_RV rv = module_->guarded.C_Encrypt(session_, Unconst(in), length, out, &written);
  active_ = rv == CKR_BUFFER_TOO_SMALL;
  const CK_RV checked = Checked(rv, written, length);
  return {checked, checked == CKR_OK ? "" : "C_Encrypt"};
}

CipherResult TokenAes::EncryptPart(const uint8_t* in, uint8_t* out, CK_ULONG length) {
  if (!active_) {
    const CipherResult started = Start();
    if (started.rv != CKR_OK) return started;
  }
  CK_ULONG written = length;
  const CK_RV rv = module_->guarded.C_EncryptUpdate(session_, Unconst(in), length, out, &written);
  active_ = StillActive(rv);
  const CK_RV checked = Checked(rv, written, length);
  return {checked, checked == CKR_OK ? "" : "C_EncryptUpdate"};
}

CipherResult TokenAes::Encrypt(const uint8_t* in, uint8_t* out, size_t count) {
  if (mode_ == TokenMode::kMultiPart) return EncryptPart(in, out, count * kAesBlock);
  if (mode_ == TokenMode::kOneCall) return EncryptAlone(in, out, count * kAesBlock);
  CipherResult result;
  for (size_t at = 0; at < count && result.rv == CKR_OK; at++) {
    result = EncryptAlone(in + at * kAesBlock, out + at * kAesBlock, kAesBlock);
  }
  return result;
}

CipherResult TokenAes::Finish(bool ok) {
  if (!active_ || (ok && leave_open_)) return {};
  active_ = false;
  CK_BYTE rest[2 * kAesBlock];
  CK_ULONG written = sizeof rest;
  const CK_RV rv = module_->guarded.C_EncryptFinal(session_, rest, &written);
  Wipe(rest, sizeof rest);
  const CK_RV checked = Checked(rv, written, 0);
  return {checked, checked == CKR_OK ? "" : "C_EncryptFinal"};
}

}  // namespace keyrite
