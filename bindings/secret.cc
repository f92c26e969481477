#if defined(__APPLE__)
#define __STDC_WANT_LIB_EXT1__ 1
#endif
#include "secret.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>

#if defined(__linux__)
#include <sys/prctl.h>
#endif

namespace keyrite {

void Wipe(void* bytes, size_t length) {
  if (length == 0) return;
#if defined(__APPLE__)
  memset_s(bytes, length, 0, length);
#else
  explicit_bzero(bytes, length);
#endif
}

LockedCopy::LockedCopy(const void* bytes, size_t length) : length_(length) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  mapped_ = (length / page + 1) * page;
  void* memory =
      mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  if (mlock(memory, mapped_) != 0) {
    munmap(memory, mapped_);
    return;
  }
#if defined(__linux__)
  madvise(memory, mapped_, MADV_DONTDUMP);
  madvise(memory, mapped_, MADV_DONTFORK);
#endif
  memory_ = static_cast<CK_BYTE_PTR>(memory);
  if (length != 0) std::memcpy(memory_, bytes, length);
}

LockedCopy::~LockedCopy() {
  if (memory_ == nullptr) return;
  Wipe(memory_, length_);
  munlock(memory_, mapped_);
  munmap(memory_, mapped_);
}

bool ForbidCoreFiles() {
  const rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return false;
#if defined(__linux__)
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
#else
  return true;
#endif
}

}  // namespace keyrite
