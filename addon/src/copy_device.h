#pragma once

#include <cstdint>

#include "step.h"

namespace terrace {

/** Copies one block between GPU memory and a slot, on a stream of the calling thread, and returns when it is
 * there: 0, or minus an errno. `checksum` becomes the sum of the slot, taken by the CPU. */
int gatherDevice(const Step& step, uint32_t& checksum);
int scatterDevice(const Step& step, uint32_t& checksum);

}  // namespace terrace
