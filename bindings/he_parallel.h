// The same work on several threads.
#ifndef KEYRITE_HE_PARALLEL_H
#define KEYRITE_HE_PARALLEL_H

#include <atomic>
#include <functional>

namespace keyrite {

// Set from another thread; ends what is running at its next step.
using CancelFlag = std::atomic<bool>;

// Takes one number below the count after the other; false: none is left, or cancelled.
class Turns {
 public:
  Turns(size_t count, const CancelFlag& cancelled) : count_(count), cancelled_(cancelled) {}

  bool Take(size_t* number) {
    if (cancelled_.load(std::memory_order_relaxed)) return false;
    *number = next_.fetch_add(1, std::memory_order_relaxed);
    return *number < count_;
  }
  // Nobody takes another one.
  void End() { next_.store(count_, std::memory_order_relaxed); }

 private:
  std::atomic<size_t> next_{0};
  size_t count_;
  const CancelFlag& cancelled_;
};

// Runs `work` on this thread and up to `threads` - 1 others at the same time, fewer where the system
// gives no more. Rethrows the first exception after all have ended.
void OnThreads(size_t threads, const std::function<void()>& work);

}  // namespace keyrite

#endif
