#include "devices.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "limits.h"
#include "move_pieces.h"
#include "problem.h"

namespace terrace {
namespace {

std::mutex openMutex;
/** By ordinal. Never freed: a device in use stays so until the process ends. */
std::atomic<Device*> devices[devicesMax];

/** The driver compiles the kernel for its GPU; one that cannot do so leaves the copy engines. */
cuda::Function loadKernel(const cuda::Driver& driver) {
  cuda::Module module = nullptr;
  cuda::Function function = nullptr;
  if (driver.moduleLoadData(&module, movePiecesText) != cuda::success) return nullptr;
  if (driver.moduleGetFunction(&function, module, movePiecesName) != cuda::success) return nullptr;
  return function;
}

const Device* openDevice(const cuda::Driver& driver, int ordinal) {
  const std::lock_guard<std::mutex> lock(openMutex);
  if (Device* const open = devices[ordinal]) return open;
  auto* const device = new Device;
  device->ordinal = ordinal;
  cuda::Device number = 0;
  cuda::Uuid uuid = {};
  int pitchMax = 0;
  cuda::Result result = driver.deviceGet(&number, ordinal);
  if (result == cuda::success) result = driver.deviceGetUuid(&uuid, number);
  if (result == cuda::success) result = driver.deviceGetName(device->name, sizeof device->name - 1, number);
  if (result == cuda::success)
    result = driver.deviceGetAttribute(&pitchMax, cuda::memoryPitchMax, number);
  if (result == cuda::success) result = driver.primaryContextRetain(&device->context, number);
  if (result == cuda::success) result = driver.contextSetCurrent(device->context);
  if (result != cuda::success) {
    cuda::refuseResult(result, "device: %d cannot be used", ordinal);
    delete device;
    return nullptr;
  }
  memcpy(device->id, uuid.bytes, sizeof device->id);
  device->pitchBytesMax = static_cast<uint64_t>(pitchMax);
  device->movePieces = loadKernel(driver);
  devices[ordinal] = device;
  return device;
}

}  // namespace

const Device* deviceByOrdinal(int ordinal) {
  const cuda::Driver* const driver = cuda::driver();
  if (driver == nullptr) return nullptr;
  int count = 0;
  driver->deviceGetCount(&count);
  if (ordinal < 0 || ordinal >= count || ordinal >= static_cast<int>(devicesMax)) {
    refuse(-ENODEV, "device: %d is not visible here, %d are", ordinal, count);
    return nullptr;
  }
  return openDevice(*driver, ordinal);
}

const Device* deviceById(const uint8_t* id) {
  const cuda::Driver* const driver = cuda::driver();
  if (driver == nullptr) return nullptr;
  int count = 0;
  driver->deviceGetCount(&count);
  for (int ordinal = 0; ordinal < count && ordinal < static_cast<int>(devicesMax); ordinal++) {
    cuda::Device number = 0;
    cuda::Uuid uuid = {};
    if (driver->deviceGet(&number, ordinal) != cuda::success) continue;
    if (driver->deviceGetUuid(&uuid, number) != cuda::success) continue;
    if (memcmp(uuid.bytes, id, sizeof uuid.bytes) == 0) return openDevice(*driver, ordinal);
  }
  refuse(-ENODEV, "parts.device: the engine's GPU is not visible to this process");
  return nullptr;
}

const Device* deviceInUse() {
  for (const auto& device : devices)
    if (const Device* const open = device) return open;
  return nullptr;
}

cuda::Result enter(const Device& device) { return cuda::driver()->contextSetCurrent(device.context); }

}  // namespace terrace
