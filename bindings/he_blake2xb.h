// BLAKE2Xb with a 64-byte key, an 8-byte message and 4096 bytes of output: one step of SEAL's
// default random number generator.
#ifndef KEYRITE_HE_BLAKE2XB_H
#define KEYRITE_HE_BLAKE2XB_H

#include <cstddef>
#include <cstdint>

namespace keyrite {

constexpr size_t kBlake2xbWords = 512;

// Output blocks that are made at once: lanes of a vector register.
enum class Lanes { kOne, kFour, kEight };

// The hash of the key, from which the outputs for any number of messages start.
struct Blake2xbKey {
  explicit Blake2xbKey(const uint8_t* key);

  // Output for a message; the same for all lanes.
  void Output(uint64_t message, Lanes lanes, uint64_t* output) const;

 private:
  uint64_t hash_[8];
};

}  // namespace keyrite

#endif
