#include "he_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace keyrite {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

constexpr size_t kMostSpare = size_t{128} << 20;
constexpr size_t kMostPieces = 32;

// With room for one more than are kept, so that keeping pages never fails.
std::vector<std::unique_ptr<Pages>> MakeSpare() {
  std::vector<std::unique_ptr<Pages>> pages;
  pages.reserve(kMostPieces + 1);
  return pages;
}

std::mutex spare_mutex;
size_t spare_bytes = 0;
// Used last at the end.
std::vector<std::unique_ptr<Pages>> spare = MakeSpare();

}  // namespace

Pages::Pages(size_t words) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  bytes_ = RoundUp(words * sizeof(uint64_t), page);
  // More than is needed, to cut a piece out of it that begins on a huge page.
  const size_t reserved = bytes_ + kHugePage;
  void* memory =
      mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  char* first = static_cast<char*>(memory);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(first) % kHugePage) % kHugePage;
  char* start = first + before;
  if (before != 0) munmap(first, before);
  munmap(start + bytes_, reserved - before - bytes_);
#if defined(__linux__)
  madvise(start, bytes_, MADV_HUGEPAGE);
  madvise(start, bytes_, MADV_DONTDUMP);
#endif
  words_ = reinterpret_cast<uint64_t*>(start);
}

std::unique_ptr<Pages> TakePages(size_t words) {
  const size_t bytes = words * sizeof(uint64_t);
  {
    const std::lock_guard<std::mutex> lock(spare_mutex);
    for (size_t at = spare.size(); at-- > 0;) {
      if (spare[at]->bytes() < bytes || spare[at]->bytes() / 4 > bytes) continue;
      std::unique_ptr<Pages> pages = std::move(spare[at]);
      spare.erase(spare.begin() + static_cast<std::ptrdiff_t>(at));
      spare_bytes -= pages->bytes();
      return pages;
    }
  }
  return std::make_unique<Pages>(words);
}

void KeepPages(std::unique_ptr<Pages> pages) {
  const std::lock_guard<std::mutex> lock(spare_mutex);
  spare_bytes += pages->bytes();
  spare.push_back(std::move(pages));
  while (spare_bytes > kMostSpare || spare.size() > kMostPieces) {
    spare_bytes -= spare.front()->bytes();
    spare.erase(spare.begin());
  }
}

Pages::~Pages() { munmap(words_, bytes_); }

}  // namespace keyrite
