#include "job.h"

#include <exception>
#include <new>

#include "arguments.h"

namespace keyrite {

Napi::Value Job::Start(std::unique_ptr<Job> job) {
  const Napi::Env env = job->env_;
  const Napi::Promise promise = job->deferred_.Promise();
  const Napi::String name = Napi::String::New(env, "keyrite");
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

void Job::Execute(napi_env, void* data) {
  Job* job = static_cast<Job*>(data);
  try {
    job->Work();
  } catch (const std::bad_alloc&) {
    job->failure_ = kNotEnoughMemory;
  } catch (const std::exception&) {
    job->failure_ = "the work failed";
  }
}

void Job::Complete(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<Job> job(static_cast<Job*>(data));
  napi_delete_async_work(env, job->work_);
  try {
    job->Settle(status == napi_ok);
  } catch (const Napi::Error&) {
    // The environment is ending; nobody waits for the promise.
  }
}

void Job::Settle(bool ran) {
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
