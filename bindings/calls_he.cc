// Scans of homomorphically encrypted embeddings (src/he/scan-addon.ts). Nothing secret comes here.
//
// Jobs work on copies of what JavaScript passes in: it may detach or change a buffer meanwhile.
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "arguments.h"
#include "calls.h"
#include "he_residues.h"
#include "he_scan.h"
#include "he_seed.h"
#include "job.h"

namespace keyrite {
namespace {

constexpr unsigned kMaxBits = 63;
constexpr uint32_t kMaxDegree = 1 << 15;
constexpr size_t kMostChunks = 1 << 16;
constexpr size_t kMostThreads = 1024;

size_t ToSize(const Napi::Value& value, size_t least, size_t most, const char* message) {
  const size_t size = ToUlong(value);
  if (size < least || size > most) Throw(value.Env(), message);
  return size;
}

unsigned ToBits(const Napi::Value& value) {
  return static_cast<unsigned>(ToSize(value, 1, kMaxBits, "bits is not 1 to 63"));
}

uint64_t ToModulus(const Napi::Value& value, unsigned bits) {
  const uint64_t modulus = ToHandle(value);
  if (modulus < 2 || (modulus - 1) >> bits != 0) Throw(value.Env(), "the modulus does not fit");
  return modulus;
}

// {degree, bits, modulus}
Ring ToRing(const Napi::Value& value) {
  if (!value.IsObject()) Throw(value.Env(), "expected a ring");
  const Napi::Object object = value.As<Napi::Object>();
  const auto degree = static_cast<uint32_t>(
      ToSize(object.Get("degree"), kTile, kMaxDegree, "degree is not 8 to 32768"));
  if (degree % kTile != 0) Throw(value.Env(), "degree is no multiple of 8");
  const unsigned bits = ToBits(object.Get("bits"));
  const uint64_t modulus = ToModulus(object.Get("modulus"), bits);
  // What the kernels' reductions take for granted.
  if (bits != kRingBits || modulus >> (kRingBits - 1) == 0) {
    Throw(value.Env(), "the modulus has not 51 bits");
  }
  return MakeRing(degree, bits, modulus);
}

// A copy that may be read a little beyond its end.
std::unique_ptr<uint8_t[]> CopyPacked(const Bytes& bytes) {
  std::unique_ptr<uint8_t[]> copy(new uint8_t[bytes.length + kPackedMargin]);
  if (bytes.length != 0) std::memcpy(copy.get(), bytes.data, bytes.length);
  std::memset(copy.get() + bytes.length, 0, kPackedMargin);
  return copy;
}

Napi::Uint8Array WordsToJs(Napi::Env env, const uint64_t* words, size_t count) {
  return CopyToJs(env, reinterpret_cast<const uint8_t*>(words), count * sizeof(uint64_t));
}

// hePack(words, bits) -> packed; unused upper bits of the words are zero
Napi::Value Pack(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 2);
  const Bytes bytes = ToBytes(info[0]);
  const unsigned bits = ToBits(info[1]);
  if (bytes.length % sizeof(uint64_t) != 0) Throw(info.Env(), "not whole words");
  const size_t count = bytes.length / sizeof(uint64_t);
  const std::unique_ptr<uint64_t[]> words(new uint64_t[count]);
  if (count != 0) std::memcpy(words.get(), bytes.data, bytes.length);
  for (size_t at = 0; at < count; at++) {
    if (words[at] >> bits != 0) Throw(info.Env(), "a word has more bits");
  }
  Napi::Uint8Array packed = Napi::Uint8Array::New(info.Env(), PackedLength(count, bits));
  if (count != 0) PackResidues(words.get(), count, bits, packed.Data());
  return packed;
}

// heUnpack(packed, count, bits, modulus) -> words, or the index of the first wrong residue
Napi::Value Unpack(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 4);
  const Napi::Env env = info.Env();
  const Bytes packed = ToBytes(info[0]);
  const size_t count = ToUlong(info[1]);
  const unsigned bits = ToBits(info[2]);
  const uint64_t modulus = ToModulus(info[3], bits);
  if (packed.length != PackedLength(count, bits)) Throw(env, "packed has another length");
  const std::unique_ptr<uint8_t[]> copy = CopyPacked(packed);
  const std::unique_ptr<uint64_t[]> words(new uint64_t[count]);
  const size_t bad = UnpackResidues(copy.get(), count, bits, modulus, words.get());
  if (bad != kAllResiduesGood) return Napi::Number::New(env, static_cast<double>(bad));
  return WordsToJs(env, words.get(), count);
}

const Kernel* ToKernel(const Napi::Value& value) {
  if (!value.IsString()) Throw(value.Env(), "expected the name of a kernel");
  const std::string name = value.As<Napi::String>().Utf8Value();
  for (const Kernel* kernel : AvailableKernels()) {
    if (name == kernel->name) return kernel;
  }
  Throw(value.Env(), "this CPU has no such kernel");
}

// heExpandSeed(seed, ring, kernel) -> words
Napi::Value Expand(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 3);
  const Bytes seed = ToBytes(info[0]);
  const Ring ring = ToRing(info[1]);
  if (seed.length != kSeedBytes) Throw(info.Env(), "a seed has 64 bytes");
  const Scratch words(ring.degree);
  ExpandSeed(seed.data, ring, *ToKernel(info[2]), words.words());
  return WordsToJs(info.Env(), words.words(), ring.degree);
}

// heKernels() -> names
Napi::Value Kernels(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 0);
  const Napi::Array names = Napi::Array::New(info.Env());
  for (const Kernel* kernel : AvailableKernels()) {
    names.Set(names.Length(), Napi::String::New(info.Env(), kernel->name));
  }
  return names;
}

// --- Blocks ---

constexpr napi_type_tag kBlockTag = {0x6b1f0d92a4c34e7b, 0x8d25c7e1f09ab364};

using BlockPointer = std::shared_ptr<const ResidentBlock>;

// What JavaScript holds; a scan that runs holds the block too.
struct HeldBlock {
  BlockPointer block;  // null: freed
  int64_t counted = 0;

  void Free(Napi::Env env) {
    if (counted != 0) Napi::MemoryManagement::AdjustExternalMemory(env, -counted);
    counted = 0;
    block.reset();
  }
};

Napi::Object HoldBlock(Napi::Env env, BlockPointer block) {
  auto held = std::make_unique<HeldBlock>();
  const Napi::Object object = Napi::Object::New(env);
  const auto finalize = [](napi_env at, void* data, void*) {
    const std::unique_ptr<HeldBlock> last(static_cast<HeldBlock*>(data));
    last->Free(at);
  };
  if (napi_type_tag_object(env, object, &kBlockTag) != napi_ok ||
      napi_wrap(env, object, held.get(), finalize, nullptr, nullptr) != napi_ok) {
    Throw(env, "the block cannot be kept");
  }
  HeldBlock& kept = *held.release();
  kept.counted = static_cast<int64_t>(block->bytes());
  Napi::MemoryManagement::AdjustExternalMemory(env, kept.counted);
  kept.block = std::move(block);
  return object;
}

HeldBlock& ToHeldBlock(const Napi::Value& value) {
  bool tagged = false;
  void* data = nullptr;
  if (!value.IsObject() ||
      napi_check_object_type_tag(value.Env(), value, &kBlockTag, &tagged) != napi_ok || !tagged ||
      napi_unwrap(value.Env(), value, &data) != napi_ok) {
    Throw(value.Env(), "expected a block of heLoad");
  }
  return *static_cast<HeldBlock*>(data);
}

std::vector<BlockPointer> ToBlocks(const Napi::Value& value) {
  if (!value.IsArray()) Throw(value.Env(), "expected an array of blocks");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<BlockPointer> blocks;
  for (uint32_t at = 0; at < array.Length(); at++) {
    blocks.push_back(ToHeldBlock(array.Get(at)).block);
    if (blocks.back() == nullptr) Throw(value.Env(), "the block is freed");
  }
  return blocks;
}

class LoadJob final : public Job {
 public:
  LoadJob(Napi::Env env, const Layout& layout, size_t chunks, bool seeded, const Bytes& body)
      : Job(env), layout_(layout), chunks_(chunks), body_(CopyPacked(body)), seeded_(seeded) {}

 private:
  void Work() override {
    auto block = std::make_shared<ResidentBlock>(layout_);
    bad_ = block->Fill({body_.get(), seeded_}, chunks_);
    body_.reset();
    block_ = std::move(block);
  }

  Napi::Value Result(Napi::Env env) override {
    if (bad_ != kAllResiduesGood) return Napi::Number::New(env, static_cast<double>(bad_));
    return HoldBlock(env, std::move(block_));
  }

  Layout layout_;
  size_t chunks_;
  std::unique_ptr<uint8_t[]> body_;
  bool seeded_;
  size_t bad_ = kAllResiduesGood;
  BlockPointer block_;
};

// heLoad(ring, chunks, seeded, body) -> Promise of a block, or of the index of the first wrong residue
Napi::Value Load(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 4);
  const Ring ring = ToRing(info[0]);
  const size_t chunks = ToSize(info[1], 1, kMostChunks, "chunks is not 1 to 65536");
  if (!info[2].IsBoolean()) Throw(info.Env(), "expected a boolean");
  const bool seeded = info[2].As<Napi::Boolean>();
  const Bytes body = ToBytes(info[3]);
  if (body.length != chunks * PackedChunks{nullptr, seeded}.ChunkBytes(ring)) {
    Throw(info.Env(), "body has another length");
  }
  return Job::Start(std::make_unique<LoadJob>(info.Env(), Layout(ring, chunks, kBlockStep, *AvailableKernels().front()),
                                                chunks, seeded, body));
}

// heBytes(block) -> bytes of memory
Napi::Value BytesOf(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 1);
  const BlockPointer& block = ToHeldBlock(info[0]).block;
  return Napi::Number::New(info.Env(),
                           block == nullptr ? 0 : static_cast<double>(block->bytes()));
}

// heFree(block)
void Free(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 1);
  ToHeldBlock(info[0]).Free(info.Env());
}

// --- Scans ---

class ScanJob final : public Job {
 public:
  ScanJob(Napi::Env env, ScanInput input, const Napi::Array& queries, const Bytes& header)
      : Job(env), input_(std::move(input)), cancelled_(std::make_shared<CancelFlag>(false)) {
    const Ring& ring = input_.block_layout.ring();
    const size_t length = input_.chunks * PackedChunks{nullptr, true}.ChunkBytes(ring);
    const size_t words = (length + kPackedMargin) / sizeof(uint64_t) + 1;
    bodies_ = TakePages(words * queries.Length());
    for (uint32_t at = 0; at < queries.Length(); at++) {
      const Bytes body = ToBytes(queries.Get(at));
      if (body.length != length) Throw(env, "a query has another length");
      auto* copy = reinterpret_cast<uint8_t*>(bodies_->words() + at * words);
      std::memcpy(copy, body.data, length);
      input_.queries.push_back({copy, true});
    }
    MakeResults(env, header, 3 * ring.PackedBytes());
  }

  ~ScanJob() override { KeepPages(std::move(bodies_)); }

  const std::shared_ptr<CancelFlag>& cancelled() const { return cancelled_; }

 private:
  // One buffer for all results, of pages that are used again. JavaScript sees it when they are written,
  // not before.
  void MakeResults(Napi::Env env, const Bytes& header, size_t length) {
    const size_t queries = input_.queries.size();
    const size_t stride = header.length + length;
    const size_t total = input_.blocks.size() * queries * stride;
    Pages* pages = TakePages(total / sizeof(uint64_t) + 1).release();
    auto* const first = reinterpret_cast<uint8_t*>(pages->words());
    const Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
        env, first, total,
        [](Napi::Env, void*, Pages* last) { KeepPages(std::unique_ptr<Pages>(last)); }, pages);
    uint8_t* to = first;
    const Napi::Array all = Napi::Array::New(env, input_.blocks.size());
    for (uint32_t block = 0; block < input_.blocks.size(); block++) {
      const Napi::HandleScope scope(env);
      const Napi::Array results = Napi::Array::New(env, queries);
      for (uint32_t query = 0; query < queries; query++, to += stride) {
        std::memcpy(to, header.data, header.length);
        input_.results.push_back(to + header.length);
        results.Set(query, Napi::Uint8Array::New(env, stride, buffer, to - first));
      }
      all.Set(block, results);
    }
    results_ = Napi::Persistent(all);
  }

  void Work() override { outcome_ = Scan(input_, *cancelled_); }

  Napi::Value Result(Napi::Env env) override {
    Napi::Object out = Napi::Object::New(env);
    out["aborted"] = Napi::Boolean::New(env, outcome_.aborted);
    out["badQuery"] = Napi::Number::New(env, outcome_.bad_query);
    out["badResidue"] = Napi::Number::New(env, outcome_.bad_residue);
    const bool good = !outcome_.aborted && outcome_.bad_query < 0;
    out["results"] = good ? results_.Value() : Napi::Array::New(env);
    return out;
  }

  ScanInput input_;
  std::unique_ptr<Pages> bodies_;
  Napi::Reference<Napi::Array> results_;
  std::shared_ptr<CancelFlag> cancelled_;
  ScanOutcome outcome_;
};

// heScan(ring, chunks, kernel, threads, blocks, queries, header) -> {done: Promise of outcome, cancel()}
Napi::Value StartScan(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 7);
  const Napi::Env env = info.Env();
  const Ring ring = ToRing(info[0]);
  const size_t chunks = ToSize(info[1], 1, kMostChunks, "chunks is not 1 to 65536");
  const Kernel* kernel = ToKernel(info[2]);
  const size_t threads = ToSize(info[3], 1, kMostThreads, "threads is not 1 to 1024");
  const Layout layout(ring, chunks, kBlockStep, *kernel);
  std::vector<BlockPointer> blocks = ToBlocks(info[4]);
  for (const BlockPointer& block : blocks) {
    if (!block->layout().Same(layout)) Throw(env, "a block has another layout");
  }
  if (!info[5].IsArray()) Throw(env, "expected an array of queries");
  if (blocks.empty() || info[5].As<Napi::Array>().Length() == 0) Throw(env, "nothing to scan");
  ScanInput input{kernel, threads, layout, chunks, std::move(blocks), {}, {}};
  auto job = std::make_unique<ScanJob>(env, std::move(input), info[5].As<Napi::Array>(),
                                       ToBytes(info[6]));
  const std::shared_ptr<CancelFlag> cancelled = job->cancelled();
  Napi::Object out = Napi::Object::New(env);
  out["cancel"] = Napi::Function::New(
      env, [cancelled](const Napi::CallbackInfo&) { cancelled->store(true); });
  out["done"] = Job::Start(std::move(job));
  return out;
}

class ReadJob final : public Job {
 public:
  ReadJob(Napi::Env env, std::vector<BlockPointer> blocks, size_t threads)
      : Job(env), blocks_(std::move(blocks)), threads_(threads) {}

 private:
  void Work() override { sum_ = ReadBlocks(blocks_, threads_); }
  Napi::Value Result(Napi::Env env) override { return Napi::BigInt::New(env, sum_); }

  std::vector<BlockPointer> blocks_;
  size_t threads_;
  uint64_t sum_ = 0;
};

// heRead(blocks, threads) -> Promise of the sum of all words; what benchmarks compare a scan with
Napi::Value Read(const Napi::CallbackInfo& info) {
  ExpectArguments(info, 2);
  const size_t threads = ToSize(info[1], 1, kMostThreads, "threads is not 1 to 1024");
  return Job::Start(std::make_unique<ReadJob>(info.Env(), ToBlocks(info[0]), threads));
}

// Out of memory is an exception in JavaScript too.
template <Napi::Value (*Call)(const Napi::CallbackInfo&)>
Napi::Value Guarded(const Napi::CallbackInfo& info) {
  try {
    return Call(info);
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(info.Env(), kNotEnoughMemory);
  }
}

}  // namespace

void ExportHeCalls(Napi::Env env, Napi::Object exports) {
  exports["hePack"] = Napi::Function::New<Guarded<Pack>>(env);
  exports["heUnpack"] = Napi::Function::New<Guarded<Unpack>>(env);
  exports["heExpandSeed"] = Napi::Function::New<Guarded<Expand>>(env);
  exports["heKernels"] = Napi::Function::New<Guarded<Kernels>>(env);
  exports["heLoad"] = Napi::Function::New<Guarded<Load>>(env);
  exports["heBytes"] = Napi::Function::New<Guarded<BytesOf>>(env);
  exports["heFree"] = Napi::Function::New<Free>(env);
  exports["heScan"] = Napi::Function::New<Guarded<StartScan>>(env);
  exports["heRead"] = Napi::Function::New<Guarded<Read>>(env);
}

}  // namespace keyrite
