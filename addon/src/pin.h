#pragma once

#include "step.h"

namespace terrace {

/** Page-locks the range of a pin step, for all GPUs. Minus an errno when it is already, or when the driver refuses it:
 * the range then stays ordinary memory, and copies to it are slower. */
int pinRange(const Step& step);
/** Undoes all of a region's, before its memory goes. */
void unpinAll(Region& region);

}  // namespace terrace
