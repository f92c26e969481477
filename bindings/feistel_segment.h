// A group's records that stand in the chunk at work, and what they have become so far.
#ifndef KEYRITE_FEISTEL_SEGMENT_H
#define KEYRITE_FEISTEL_SEGMENT_H

#include "feistel_group.h"

namespace keyrite {

struct Segment {
  const FeistelGroup* group;
  size_t first;  // record of the group
  size_t count;
  // NUM of the two parts: uint32_t with kFf1Narrow, else Wide.
  void* halves[2];
  Pad* pads;  // one each, with own tweaks

  template <typename Half>
  Half* HalfOf(size_t which) const {
    return static_cast<Half*>(halves[which]);
  }
};

}  // namespace keyrite

#endif
