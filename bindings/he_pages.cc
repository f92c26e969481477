#include "he_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <new>
#include <utility>

namespace keyrite {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

constexpr size_t kMostSpare = size_t{64} << 20;

std::mutex spare_mutex;
size_t spare_bytes = 0;
std::array<std::unique_ptr<Pages>, 4> spare;

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
    for (std::unique_ptr<Pages>& pages : spare) {
      if (pages == nullptr || pages->bytes() < bytes || pages->bytes() / 4 > bytes) continue;
      spare_bytes -= pages->bytes();
      return std::move(pages);
    }
  }
  return std::make_unique<Pages>(words);
}

void KeepPages(std::unique_ptr<Pages> pages) {
  const std::lock_guard<std::mutex> lock(spare_mutex);
  if (spare_bytes + pages->bytes() > kMostSpare) return;
  for (std::unique_ptr<Pages>& place : spare) {
    if (place != nullptr) continue;
    spare_bytes += pages->bytes();
    place = std::move(pages);
    return;
  }
}

Pages::~Pages() { munmap(words_, bytes_); }

}  // namespace keyrite
