// Large memory for numbers that a scan streams through.
#ifndef KEYRITE_HE_PAGES_H
#define KEYRITE_HE_PAGES_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace keyrite {

// Zeroed pages of the system's: on huge pages where it has them, not in core files. Throws
// std::bad_alloc.
class Pages {
 public:
  explicit Pages(size_t words);
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  uint64_t* words() const { return words_; }
  size_t bytes() const { return bytes_; }

 private:
  uint64_t* words_;
  size_t bytes_;
};

// Pages of an earlier use where some are large enough, with their contents; else new ones.
std::unique_ptr<Pages> TakePages(size_t words);

// Keeps pages for the next use, which then has no page faults: 128 MiB at most, those used last.
void KeepPages(std::unique_ptr<Pages> pages);

// Pages for the time of one piece of work.
class Scratch {
 public:
  explicit Scratch(size_t words) : pages_(TakePages(words)) {}
  ~Scratch() { KeepPages(std::move(pages_)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  uint64_t* words() const { return pages_->words(); }

 private:
  std::unique_ptr<Pages> pages_;
};

}  // namespace keyrite

#endif
