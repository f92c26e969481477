// Symbols of a segment to numbers and back (NUM_radix, STR_radix^m: SP 800-38G §4.5).
#ifndef KEYRITE_FEISTEL_SYMBOLS_H
#define KEYRITE_FEISTEL_SYMBOLS_H

#include "feistel_segment.h"

namespace keyrite {

// Fills `halves`. The number of records before the first with a symbol outside its alphabet;
// `count` when there is none.
size_t ParseSegment(const Segment& segment);

// Writes the segment's records into the group's output.
void FormatSegment(const Segment& segment);

}  // namespace keyrite

#endif
