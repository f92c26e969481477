#include "he_job.h"

#include <exception>
#include <new>

#include "arguments.h"

namespace keyrite {

Napi::Value HeJob::Start(std::unique_ptr<HeJob> job) {
  const Napi::Env env = job->env_;
  const Napi::Promise promise = job->deferred_.Promise();
  const Napi::String name = Napi::String::New(env, "keyrite.he");
  if (napi_create_async_work(env, nullptr, name, Execute, Complete, job.get(), &job->work_) !=
      napi_ok) {
    Throw(env, "the job cannot be started");
  }
  if (napi_queue_async_work(env, job->work_) != napi_ok) {
    napi_delete_async_work(env, job->work_);
    Throw(env, "the job cannot be started");
  }
  (void)job.release();
  return promise;
}

void HeJob::Execute(napi_env, void* data) {
  HeJob* job = static_cast<HeJob*>(data);
  try {
    job->Work();
  } catch (const std::bad_alloc&) {
    job->failure_ = kNotEnoughMemory;
  } catch (const std::exception&) {
    job->failure_ = "the work failed";
  }
}

void HeJob::Complete(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<HeJob> job(static_cast<HeJob*>(data));
  napi_delete_async_work(env, job->work_);
  try {
    job->Settle(status == napi_ok);
  } catch (const Napi::Error&) {
    // The environment is ending; nobody waits for the promise.
  }
}

void HeJob::Settle(bool ran) {
  const Napi::HandleScope scope(env_);
  if (!ran) failure_ = "the job was not run";
  if (failure_ != nullptr) {
    deferred_.Reject(Napi::Error::New(env_, failure_).Value());
    return;
  }
  try {
    deferred_.Resolve(Result(env_));
  } catch (const Napi::Error& error) {
    deferred_.Reject(error.Value());
  }
}

}  // namespace keyrite
