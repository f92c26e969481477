// Templates that own their memory, and the three-step reading of attributes.
#ifndef KEYRITE_ATTRIBUTE_H
#define KEYRITE_ATTRIBUTE_H

#include <napi.h>

#include <memory>
#include <vector>

#include "cryptoki.h"
#include "module.h"

namespace keyrite {

// A CK_ATTRIBUTE array built from [[type, Uint8Array | nested array], ...]. Values are copies, so
// nothing JavaScript does later can change them; they are wiped at the end.
class Template {
 public:
  // Throws Napi::TypeError when the array is not of that shape.
  Template(const Napi::Value& source, unsigned depth = 0);
  ~Template();
  Template(const Template&) = delete;
  Template& operator=(const Template&) = delete;

  // Never null: SoftHSM refuses a NULL template even when it is empty.
  CK_ATTRIBUTE_PTR data() { return attributes_.data(); }
  CK_ULONG size() const { return attributes_.size(); }

 private:
  void Add(CK_ULONG type, const Napi::Value& value, unsigned depth);

  std::vector<CK_ATTRIBUTE> attributes_;
  std::vector<std::vector<CK_BYTE>> bytes_;
  std::vector<std::unique_ptr<Template>> nested_;
};

// {rv, values: (Uint8Array | nested array | null)[]} for the given types.
Napi::Object ReadAttributes(Napi::Env env, Module* module, CK_ULONG session, CK_ULONG object,
                            const std::vector<CK_ULONG>& types);

}  // namespace keyrite

#endif
