#pragma once

#include <cstdint>
#include <memory>

#include "capi.h"
#include "devices.h"

namespace terrace {

/** GPU memory of an engine, as this process sees it. Ends with its last holder: an engine's memory is not free
 * for others while we still have it, even after the engine is dead. */
struct DeviceMapping {
  enum class Kind { ipc, mapped, own };

  Kind kind = Kind::own;
  const Device* device = nullptr;
  cuda::Address address = 0;
  uint64_t byteCount = 0;
  cuda::IpcHandle handle = {};

  DeviceMapping() = default;
  DeviceMapping(const DeviceMapping&) = delete;
  DeviceMapping& operator=(const DeviceMapping&) = delete;
  ~DeviceMapping();
};

/** Maps what a part names. Null with the reason as the problem and `status` set. Leaves the part's descriptor
 * open. */
std::shared_ptr<DeviceMapping> openMapping(const terrace_device_part& part, uint32_t index, int& status);

}  // namespace terrace
