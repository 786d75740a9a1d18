#include "pin.h"

#include <cerrno>

#include "devices.h"

namespace terrace {

int pinRange(const Step& step) {
  const Device* const device = deviceInUse();
  if (device == nullptr) return -ENODEV;
  Region& region = *step.target;
  if (region.isPinned(step.targetAt, step.byteCount)) return -EEXIST;
  if (const cuda::Result entered = enter(*device)) return -cuda::errnoOf(entered);
  const cuda::Result result = cuda::driver()->memHostRegister(
      region.base + step.targetAt, step.byteCount, cuda::registerPortable | cuda::registerMapped);
  if (result != cuda::success) return -cuda::errnoOf(result);
  const std::lock_guard<std::mutex> lock(region.pinnedMutex);
  region.pinned.push_back({step.targetAt, step.byteCount});
  return 0;
}

void unpinAll(Region& region) {
  const Device* const device = region.pinned.empty() ? nullptr : deviceInUse();
  if (device == nullptr || enter(*device) != cuda::success) return;
  for (const PinnedRange& range : region.pinned)
    cuda::driver()->memHostUnregister(region.base + range.start);
}

}  // namespace terrace
