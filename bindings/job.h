// Work for the thread pool, and the promise of its result.
#ifndef KEYRITE_JOB_H
#define KEYRITE_JOB_H

#include <napi.h>

#include <memory>

namespace keyrite {

// Code of the errors that say so; src/he/scan-addon.ts looks for it.
constexpr char kNotEnoughMemory[] = "not enough memory";

class Job {
 public:
  explicit Job(Napi::Env env) : env_(env), deferred_(env) {}
  virtual ~Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // Takes over the job; returns the promise.
  static Napi::Value Start(std::unique_ptr<Job> job);

 protected:
  // On another thread. std::bad_alloc rejects the promise.
  virtual void Work() = 0;
  // On JavaScript's thread, when the work is done.
  virtual Napi::Value Result(Napi::Env env) = 0;

 private:
  static void Execute(napi_env env, void* data);
  static void Complete(napi_env env, napi_status status, void* data);
  void Settle(bool ran);

  Napi::Env env_;
  Napi::Promise::Deferred deferred_;
  napi_async_work work_ = nullptr;
  const char* failure_ = nullptr;
};

}  // namespace keyrite

#endif
