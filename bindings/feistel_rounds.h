// The steps between two calls of the cipher, for the records of one segment.
#ifndef KEYRITE_FEISTEL_ROUNDS_H
#define KEYRITE_FEISTEL_ROUNDS_H

#include "feistel_segment.h"

namespace keyrite {

enum class Direction { kEncrypt, kDecrypt };

// Calls of the cipher a segment of this group takes part in.
size_t WavesOf(const FeistelGroup& group);

// Sets the pads of own tweaks, where no block goes before the rounds.
void PreparePads(const Segment& segment);

// Writes the blocks of wave 0.
void BuildFirst(const Segment& segment, Direction direction, uint8_t* blocks);

// Takes the encrypted blocks of `wave` and writes those of the next wave, if there is one. `blocks`
// is other memory or does not stand behind `encrypted`.
void Advance(const Segment& segment, Direction direction, size_t wave, const uint8_t* encrypted,
             uint8_t* blocks);

}  // namespace keyrite

#endif
