#pragma once

#include <cstdint>

#include "cuda_driver.h"

namespace terrace {

/** A GPU that this process uses: its primary context, kept until the process ends, and what copies need. */
struct Device {
  int ordinal = -1;
  uint8_t id[16] = {};
  char name[96] = {};
  cuda::Context context = nullptr;
  uint64_t pitchBytesMax = 0;
  /** Null where the driver takes no kernel of ours: the copy engines do everything then. */
  cuda::Function movePieces = nullptr;
};

/** The visible GPU with this id, or this number, ready for use; null with the reason as the problem. Numbers of
 * GPUs differ between processes, ids do not. */
const Device* deviceById(const uint8_t* id);
const Device* deviceByOrdinal(int ordinal);
/** Any GPU that is in use already, or null. */
const Device* deviceInUse();

/** Makes the calling thread work on a device. */
cuda::Result enter(const Device& device);

}  // namespace terrace
