// FPE rounds and AES blocks, on a token or on this process's OpenSSL (src/feistel-addon.ts).
//
// A job works on copies: JavaScript may detach, transfer or shrink a buffer while it runs, and
// nothing in Node-API can forbid that. Only `cancel` is read in place, which therefore has to stand
// on a SharedArrayBuffer: those are never detached and never shrink.
#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "aes_openssl.h"
#include "aes_token.h"
#include "arguments.h"
#include "calls.h"
#include "feistel.h"
#include "feistel_arguments.h"
#include "job.h"
#include "secret.h"

namespace keyrite {
namespace {

constexpr size_t kMaxChunk = 65536;

// Memory of a job's own, wiped at its end.
class OwnMemory {
 public:
  explicit OwnMemory(size_t length) : length_(length), bytes_(new uint8_t[length]) {}
  ~OwnMemory() { Wipe(bytes_.get(), length_); }
  OwnMemory(const OwnMemory&) = delete;
  OwnMemory& operator=(const OwnMemory&) = delete;
  uint8_t* data() const { return bytes_.get(); }

 private:
  size_t length_;
  std::unique_ptr<uint8_t[]> bytes_;
};

Napi::Object OutcomeToJs(Napi::Env env, const FeistelOutcome& outcome) {
  Napi::Object out = Napi::Object::New(env);
  out["rv"] = ReturnValue(env, outcome.cipher.rv);
  out["fn"] = Napi::String::New(env, outcome.cipher.fn);
  out["invalid"] = Napi::Number::New(env, static_cast<double>(outcome.invalid));
  out["aborted"] = Napi::Boolean::New(env, outcome.aborted);
  out["open"] = Napi::Boolean::New(env, outcome.open);
  return out;
}

// Work whose results JavaScript gets when all went well.
class OutcomeJob : public Job {
 public:
  using Job::Job;

 protected:
  // On another thread.
  virtual FeistelOutcome Run() = 0;

  // Part of the result: `length` bytes from `source` for a typed array of JavaScript.
  void AddOutput(const Napi::Value& array, const uint8_t* source, size_t length) {
    if (outputs_.IsEmpty()) outputs_ = Napi::Persistent(Napi::Array::New(array.Env()));
    outputs_.Value().Set(static_cast<uint32_t>(sources_.size()), array);
    sources_.push_back({source, length});
  }

 private:
  void Work() override { outcome_ = Run(); }

  Napi::Value Result(Napi::Env env) override {
    if (outcome_.ok()) Deliver(env);
    return OutcomeToJs(env, outcome_);
  }

  void Deliver(Napi::Env env) {
    std::vector<View> views;
    for (uint32_t at = 0; at < sources_.size(); at++) {
      views.push_back(ViewOf(outputs_.Value().Get(at)));
      if (views.back().length != sources_[at].length) Throw(env, "output has changed its length");
    }
    for (size_t at = 0; at < views.size(); at++) {
      const Bytes& source = sources_[at];
      if (source.length != 0) std::memcpy(views[at].data, source.data, source.length);
    }
  }

  Napi::Reference<Napi::Array> outputs_;
  std::vector<Bytes> sources_;
  FeistelOutcome outcome_;
};

// --- Rounds ---

size_t Aligned(size_t length) { return (length + 15) / 16 * 16; }

size_t CopyLength(const std::vector<FeistelGroup>& groups) {
  size_t length = 0;
  for (const FeistelGroup& group : groups) {
    length += Aligned(group.count * group.RecordBytes());
    if (group.own_tweaks) length += Aligned(group.count * group.tweak_length);
  }
  return length;
}

struct Cancel {
  const int32_t* flag;
  Napi::Object owner;
};

Cancel ToCancel(const Napi::Value& value) {
  const Napi::Env env = value.Env();
  napi_typedarray_type type = napi_int8_array;
  size_t elements = 0;
  void* data = nullptr;
  napi_value buffer = nullptr;
  if (!value.IsTypedArray() ||
      napi_get_typedarray_info(env, value, &type, &elements, &data, &buffer, nullptr) != napi_ok ||
      type != napi_int32_array || elements == 0) {
    Throw(env, "cancel is not an Int32Array");
  }
  bool plain = true;
  if (napi_is_arraybuffer(env, buffer, &plain) != napi_ok || plain) {
    Throw(env, "cancel does not stand on a SharedArrayBuffer");
  }
  return {static_cast<const int32_t*>(data), value.As<Napi::Object>()};
}

class FeistelJob final : public OutcomeJob {
 public:
  FeistelJob(Napi::Env env, BatchArguments batch, size_t chunk, std::unique_ptr<AesEngine> engine,
             const Cancel& cancel)
      : OutcomeJob(env),
        memory_(CopyLength(batch.groups)),
        engine_(std::move(engine)),
        cancel_(cancel.flag),
        cancel_owner_(Napi::Persistent(cancel.owner)),
        feistel_(Copy(&batch), batch.direction, chunk, engine_->InPlace()) {}

 private:
  // The chunk's records are all read before the first is written, so that results may take the
  // place of the copied inputs.
  std::vector<FeistelGroup> Copy(BatchArguments* batch) {
    uint8_t* next = memory_.data();
    const auto copy = [&next](const uint8_t* from, size_t length) {
      uint8_t* to = next;
      if (length != 0) std::memcpy(to, from, length);
      next += Aligned(length);
      return to;
    };
    for (size_t at = 0; at < batch->groups.size(); at++) {
      FeistelGroup& group = batch->groups[at];
      const size_t bytes = group.count * group.RecordBytes();
      group.output = copy(group.input, bytes);
      group.input = group.output;
      if (group.own_tweaks) group.tweaks = copy(group.tweaks, group.count * group.tweak_length);
      AddOutput(batch->outputs[at], group.output, bytes);
    }
    return std::move(batch->groups);
  }

  FeistelOutcome Run() override { return feistel_.Run(*engine_, cancel_); }

  OwnMemory memory_;
  std::unique_ptr<AesEngine> engine_;
  const int32_t* cancel_;
  Napi::ObjectReference cancel_owner_;
  Feistel feistel_;
};

size_t ToChunk(const Napi::Value& value) {
  const size_t chunk = ToUlong(value);
  if (chunk < 1 || chunk > kMaxChunk) Throw(value.Env(), "chunkBlocks is not 1 to 65536");
  return chunk;
}

// --- AES on a token ---

struct TokenOptions {
  TokenMode mode;
  Standing standing;
  size_t chunk;
};

TokenOptions ReadTokenOptions(const Napi::Value& value) {
  if (!value.IsObject()) Throw(value.Env(), "options are not an object");
  const Napi::Object options = value.As<Napi::Object>();
  const bool multi_part = ReadFlag(options, "multiPart");
  const Standing standing{ReadFlag(options, "begun") && multi_part,
                          ReadFlag(options, "leaveOpen") && multi_part};
  const TokenMode mode = ReadFlag(options, "singleBlocks")
                             ? TokenMode::kSingleBlock
                             : (multi_part ? TokenMode::kMultiPart : TokenMode::kOneCall);
  return {mode, standing, ToChunk(options.Get("chunkBlocks"))};
}

// feistelOnToken(id, session, mechanism, key, options, batch, cancel) -> Promise of outcome
Napi::Value FeistelOnToken(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 7);
  Module* module = ToModule(info);
  const TokenOptions options = ReadTokenOptions(info[4]);
  auto engine = std::make_unique<TokenAes>(module, ToHandle(info[1]), info[2], ToHandle(info[3]),
                                           options.mode, options.standing);
  const Cancel cancel = ToCancel(info[6]);
  return Job::Start(std::make_unique<FeistelJob>(info.Env(), ReadBatch(info[5]), options.chunk,
                                                 std::move(engine), cancel));
}

class BlocksJob final : public OutcomeJob {
 public:
  BlocksJob(Napi::Env env, const View& input, const Napi::Value& output, size_t chunk,
            std::unique_ptr<TokenAes> engine)
      : OutcomeJob(env),
        length_(input.length),
        chunk_(chunk * kAesBlock),
        memory_(2 * input.length),
        engine_(std::move(engine)) {
    std::memcpy(memory_.data(), input.data, length_);
    AddOutput(output, memory_.data() + length_, length_);
  }

 private:
  FeistelOutcome Run() override {
    FeistelOutcome outcome;
    for (size_t at = 0; at < length_ && outcome.ok(); at += chunk_) {
      const size_t some = std::min(chunk_, length_ - at);
      const uint8_t* in = memory_.data() + at;
      outcome.cipher = engine_->Encrypt(in, memory_.data() + length_ + at, some / kAesBlock);
    }
    const CipherResult finished = engine_->Finish(outcome.ok());
    if (outcome.ok()) outcome.cipher = finished;
    outcome.open = engine_->LeftOpen();
    return outcome;
  }

  size_t length_;
  size_t chunk_;
  OwnMemory memory_;
  std::unique_ptr<TokenAes> engine_;
};

// blocksOnToken(id, session, mechanism, key, options, input, output) -> Promise of outcome
Napi::Value BlocksOnToken(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 7);
  Module* module = ToModule(info);
  const TokenOptions options = ReadTokenOptions(info[4]);
  auto engine = std::make_unique<TokenAes>(module, ToHandle(info[1]), info[2], ToHandle(info[3]),
                                           options.mode, options.standing);
  const View input = BytesViewOf(info[5]);
  const View output = BytesViewOf(info[6]);
  if (input.length == 0 || input.length % kAesBlock != 0) Throw(info.Env(), "not whole blocks");
  if (output.length != input.length) Throw(info.Env(), "output is not as long as input");
  RefuseOverlap(info.Env(),
                {{input.data, input.length, false}, {output.data, output.length, true}});
  return Job::Start(std::make_unique<BlocksJob>(info.Env(), input, info[6], options.chunk,
                                                std::move(engine)));
}

// --- AES of this process ---

constexpr napi_type_tag kAesKeyTag = {0x3ad1b2c8574e4f06, 0x9e1f60c2b7d84a35};

struct AesKey {
  std::unique_ptr<OpenSslAes> aes;  // null: closed
};

// aesOpen(key) -> key object or undefined
Napi::Value AesOpen(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 1);
  const Napi::Env env = info.Env();
  const View key = BytesViewOf(info[0]);
  if (key.length != 16 && key.length != 24 && key.length != 32) {
    Throw(env, "an AES key has 16, 24 or 32 bytes");
  }
  auto opened = std::make_unique<AesKey>();
  opened->aes = OpenSslAes::Open(key.data, key.length);
  if (opened->aes == nullptr) return env.Undefined();
  const Napi::Object object = Napi::Object::New(env);
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<AesKey*>(data); };
  if (napi_type_tag_object(env, object, &kAesKeyTag) != napi_ok ||
      napi_wrap(env, object, opened.get(), finalize, nullptr, nullptr) != napi_ok) {
    Throw(env, "the key cannot be kept");
  }
  (void)opened.release();
  return object;
}

AesKey& ToAesKey(const Napi::Value& value) {
  const Napi::Env env = value.Env();
  bool tagged = false;
  void* data = nullptr;
  if (!value.IsObject() ||
      napi_check_object_type_tag(env, value, &kAesKeyTag, &tagged) != napi_ok || !tagged ||
      napi_unwrap(env, value, &data) != napi_ok) {
    Throw(env, "expected a key of aesOpen");
  }
  return *static_cast<AesKey*>(data);
}

OpenSslAes& ToOpenAes(const Napi::Value& value) {
  const AesKey& key = ToAesKey(value);
  if (key.aes == nullptr) Throw(value.Env(), "the key is closed");
  return *key.aes;
}

// aesClose(key)
void AesClose(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 1);
  ToAesKey(info[0]).aes.reset();
}

// feistelOnAes(key, chunkBlocks, batch, cancel) -> Promise of outcome
Napi::Value FeistelOnAes(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 4);
  const size_t chunk = ToChunk(info[1]);
  const Cancel cancel = ToCancel(info[3]);
  BatchArguments batch = ReadBatch(info[2]);
  std::unique_ptr<OpenSslAes> engine = ToOpenAes(info[0]).Copy();
  if (engine == nullptr) Throw(info.Env(), "no memory for a copy of the key");
  return Job::Start(std::make_unique<FeistelJob>(info.Env(), std::move(batch), chunk,
                                                 std::move(engine), cancel));
}

// feistelOnAesSync(key, chunkBlocks, batch) -> outcome
Napi::Value FeistelOnAesSync(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 3);
  const size_t chunk = ToChunk(info[1]);
  BatchArguments batch = ReadBatch(info[2]);
  OpenSslAes& engine = ToOpenAes(info[0]);
  Feistel feistel(std::move(batch.groups), batch.direction, chunk, engine.InPlace());
  return OutcomeToJs(info.Env(), feistel.Run(engine, nullptr));
}

// Out of memory is an exception in JavaScript too.
template <Napi::Value (*Call)(const Napi::CallbackInfo&)>
Napi::Value Guarded(const Napi::CallbackInfo& info) {
  try {
    return Call(info);
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(info.Env(), "not enough memory for the batch");
  }
}

}  // namespace

void ExportFeistelCalls(Napi::Env env, Napi::Object exports) {
  exports["feistelOnToken"] = Napi::Function::New<Guarded<FeistelOnToken>>(env);
  exports["blocksOnToken"] = Napi::Function::New<Guarded<BlocksOnToken>>(env);
  exports["aesOpen"] = Napi::Function::New<Guarded<AesOpen>>(env);
  exports["aesClose"] = Napi::Function::New<AesClose>(env);
  exports["feistelOnAes"] = Napi::Function::New<Guarded<FeistelOnAes>>(env);
  exports["feistelOnAesSync"] = Napi::Function::New<Guarded<FeistelOnAesSync>>(env);
}

}  // namespace keyrite
