// Memory for PINs and key values on their way into a module.
#ifndef KEYRITE_SECRET_H
#define KEYRITE_SECRET_H

#include <cstddef>

#include "cryptoki.h"

namespace keyrite {

// Overwrites memory in a way the compiler keeps.
void Wipe(void* bytes, size_t length);

// A copy of a PIN in pages of its own: locked (never swapped), left out of core files and of
// forked children, wiped and unmapped at the end of its life.
class LockedCopy {
 public:
  LockedCopy(const void* bytes, size_t length);
  ~LockedCopy();
  LockedCopy(const LockedCopy&) = delete;
  LockedCopy& operator=(const LockedCopy&) = delete;

  // False when the system refused the memory or the lock; nothing was copied then.
  bool ok() const { return memory_ != nullptr; }
  CK_BYTE_PTR data() const { return memory_; }
  CK_ULONG length() const { return length_; }

 private:
  CK_BYTE_PTR memory_ = nullptr;
  size_t length_;
  size_t mapped_;
};

// No core files of this process from now on (RLIMIT_CORE 0 and, on Linux, not dumpable).
bool ForbidCoreFiles();

}  // namespace keyrite

#endif
