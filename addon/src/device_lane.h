#pragma once

#include "devices.h"

namespace terrace {

/** A thread's own stream of work on one GPU. Copies of different threads overlap; those of one thread do not. */
struct DeviceLane {
  const Device* device = nullptr;
  cuda::Stream stream = nullptr;
  /** Recorded behind the work; sleeping for it does not keep a processor busy. */
  cuda::Event ended = nullptr;
};

/** The calling thread's lane on a device, made at its first use and ended with the thread. Null when the driver
 * refuses it. The thread works on that device from here on. */
const DeviceLane* laneOfThread(const Device& device);

/** Waits for all work of a lane. */
cuda::Result waitFor(const DeviceLane& lane);

}  // namespace terrace
