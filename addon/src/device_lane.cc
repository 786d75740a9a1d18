#include "device_lane.h"

#include <time.h>

#include <memory>
#include <vector>

#include "limits.h"

namespace terrace {
namespace {

struct OwnedLane {
  DeviceLane lane;

  OwnedLane() = default;
  OwnedLane(const OwnedLane&) = delete;
  OwnedLane& operator=(const OwnedLane&) = delete;
  ~OwnedLane() {
    if (lane.device == nullptr || enter(*lane.device) != cuda::success) return;
    const cuda::Driver& driver = *cuda::driver();
    if (lane.ended != nullptr) driver.eventDestroy(lane.ended);
    if (lane.stream != nullptr) driver.streamDestroy(lane.stream);
  }
};

int64_t microsecondsNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1'000;
}

}  // namespace

const DeviceLane* laneOfThread(const Device& device) {
  thread_local std::vector<std::unique_ptr<OwnedLane>> lanes;
  if (enter(device) != cuda::success) return nullptr;
  for (const auto& owned : lanes)
    if (owned->lane.device == &device) return &owned->lane;
  const cuda::Driver& driver = *cuda::driver();
  auto owned = std::make_unique<OwnedLane>();
  DeviceLane& lane = owned->lane;
  lane.device = &device;
  constexpr int ordinaryPriority = 0;
  if (driver.streamCreate(&lane.stream, cuda::streamNonBlocking, ordinaryPriority) != cuda::success)
    return nullptr;
  const unsigned flags = cuda::eventBlockingSync | cuda::eventWithoutTiming;
  if (driver.eventCreate(&lane.ended, flags) != cuda::success) return nullptr;
  lanes.push_back(std::move(owned));
  return &lanes.back()->lane;
}

cuda::Result waitFor(const DeviceLane& lane) {
  const cuda::Driver& driver = *cuda::driver();
  const cuda::Result recorded = driver.eventRecord(lane.ended, lane.stream);
  if (recorded != cuda::success) return driver.streamSynchronize(lane.stream);
  const int64_t askUntil = microsecondsNow() + askingMicrosecondsMax;
  for (;;) {
    const cuda::Result result = driver.eventQuery(lane.ended);
    if (result != cuda::notReady) return result;
    if (microsecondsNow() > askUntil) return driver.eventSynchronize(lane.ended);
  }
}

}  // namespace terrace
