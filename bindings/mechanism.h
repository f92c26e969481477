// A CK_MECHANISM whose parameter structure is laid out from a list of fields.
#ifndef KEYRITE_MECHANISM_H
#define KEYRITE_MECHANISM_H

#include <napi.h>

#include <memory>
#include <vector>

#include "cryptoki.h"

namespace keyrite {

// Built from {type, parameter: fields}; a field is a number (CK_ULONG), a Uint8Array (pointer
// to a copy of it), {inline: Uint8Array} or {fields: [...]} (pointer to a structure).
// Everything is a copy, so nothing JavaScript does later can change it.
class Mechanism {
 public:
  explicit Mechanism(const Napi::Value& source);
  ~Mechanism();
  Mechanism(const Mechanism&) = delete;
  Mechanism& operator=(const Mechanism&) = delete;

  CK_MECHANISM_PTR get() { return &mechanism_; }

 private:
  std::vector<CK_BYTE>& LayOut(const Napi::Value& fields, unsigned depth);
  void Append(const Napi::Value& field, std::vector<CK_BYTE>& structure, unsigned depth);

  CK_MECHANISM mechanism_{};
  std::vector<std::unique_ptr<std::vector<CK_BYTE>>> memory_;
};

}  // namespace keyrite

#endif
