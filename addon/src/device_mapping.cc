#include "device_mapping.h"

#include <cerrno>
#include <cinttypes>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <vector>

#include "limits.h"
#include "problem.h"

namespace terrace {
namespace {

/** Allocations that are open by handle. The driver opens a whole allocation, once per process; regions that lie
 * in the same one share it. */
struct OpenHandle {
  cuda::IpcHandle handle;
  std::weak_ptr<DeviceMapping> mapping;
};
std::mutex handlesMutex;
std::condition_variable handleClosed;
std::vector<OpenHandle>& openHandles() {
  // Never destroyed: threads may still run while the process exits.
  static auto* const rows = new std::vector<OpenHandle>;
  return *rows;
}

OpenHandle* rowOf(const cuda::IpcHandle& handle) {
  for (OpenHandle& row : openHandles())
    if (memcmp(row.handle.bytes, handle.bytes, sizeof handle.bytes) == 0) return &row;
  return nullptr;
}

/** Why an engine's handle cannot be opened, in words that say what to do. */
int refuseHandle(uint32_t index, cuda::Result result) {
  switch (result) {
    case cuda::invalidContext:
      return refuse(-EINVAL,
                    "parts[%u].handle: it comes from this process or from one with the same process number; "
                    "start the daemon under an init when both run as number 1",
                    index);
    case cuda::mapFailed:
      return refuse(-EOPNOTSUPP,
                    "parts[%u].handle: this container may not map another's GPU memory; attach shared host "
                    "memory instead",
                    index);
    default:
      return cuda::refuseResult(result, "parts[%u].handle", index);
  }
}

int openHandle(const terrace_device_part& part, uint32_t index, std::shared_ptr<DeviceMapping>& mapping) {
  memcpy(mapping->handle.bytes, part.handle, sizeof part.handle);
  std::unique_lock<std::mutex> lock(handlesMutex);
  // A mapping without holders is being closed by its last one: opening meanwhile could be undone by that.
  for (OpenHandle* row; (row = rowOf(mapping->handle)) != nullptr;) {
    if (std::shared_ptr<DeviceMapping> open = row->mapping.lock()) {
      mapping = std::move(open);
      return 0;
    }
    handleClosed.wait(lock);
  }
  const cuda::Driver& driver = *cuda::driver();
  const cuda::Result opened =
      driver.ipcOpenMemHandle(&mapping->address, mapping->handle, cuda::ipcLazyPeerAccess);
  if (opened != cuda::success) return refuseHandle(index, opened);
  mapping->kind = DeviceMapping::Kind::ipc;
  openHandles().push_back({mapping->handle, mapping});
  cuda::Address base = 0;
  size_t byteCount = 0;
  const cuda::Result known = driver.memGetAddressRange(&base, &byteCount, mapping->address);
  if (known != cuda::success) return cuda::refuseResult(known, "parts[%u].handle", index);
  mapping->byteCount = byteCount;
  return 0;
}

int mapDescriptor(const terrace_device_part& part, uint32_t index, DeviceMapping& mapping) {
  const cuda::Driver& driver = *cuda::driver();
  if (driver.memImportFromShareableHandle == nullptr || driver.memMap == nullptr)
    return refuse(-EOPNOTSUPP, "parts[%u].kind: this driver maps no descriptors", index);
  cuda::Allocation allocation = 0;
  cuda::Result result = driver.memImportFromShareableHandle(
      &allocation, reinterpret_cast<void*>(static_cast<intptr_t>(part.descriptor)), cuda::handleIsDescriptor);
  if (result != cuda::success) return cuda::refuseResult(result, "parts[%u].descriptor", index);
  cuda::Address address = 0;
  result = driver.memAddressReserve(&address, part.allocation_bytes, 0, 0, 0);
  if (result == cuda::success) {
    result = driver.memMap(address, part.allocation_bytes, 0, allocation, 0);
    if (result != cuda::success) driver.memAddressFree(address, part.allocation_bytes);
  }
  // The mapping keeps the memory from here on.
  driver.memRelease(allocation);
  if (result != cuda::success) return cuda::refuseResult(result, "parts[%u].allocationBytes", index);
  mapping.kind = DeviceMapping::Kind::mapped;
  mapping.address = address;
  mapping.byteCount = part.allocation_bytes;
  const cuda::AccessDescription access = {{cuda::locationIsDevice, mapping.device->ordinal},
                                          cuda::accessReadWrite};
  result = driver.memSetAccess(address, part.allocation_bytes, &access, 1);
  return result == cuda::success ? 0 : cuda::refuseResult(result, "parts[%u].descriptor", index);
}

int openPart(const terrace_device_part& part, uint32_t index, std::shared_ptr<DeviceMapping>& mapping) {
  switch (part.kind) {
    case TERRACE_PART_IPC:
      return openHandle(part, index, mapping);
    case TERRACE_PART_DESCRIPTOR:
      return mapDescriptor(part, index, *mapping);
    case TERRACE_PART_OWN:
      mapping->address = part.allocation_base;
      mapping->byteCount = part.allocation_bytes;
      return 0;
    default:
      return refuse(-EINVAL, "parts[%u].kind: %u is unknown", index, part.kind);
  }
}

}  // namespace

DeviceMapping::~DeviceMapping() {
  if (address == 0 || kind == Kind::own) return;
  const cuda::Driver& driver = *cuda::driver();
  // A result says nothing that could still be acted on: a lost context has let go of everything already.
  enter(*device);
  if (kind == Kind::mapped) {
    driver.memUnmap(address, byteCount);
    driver.memAddressFree(address, byteCount);
    return;
  }
  const std::lock_guard<std::mutex> lock(handlesMutex);
  driver.ipcCloseMemHandle(address);
  std::vector<OpenHandle>& rows = openHandles();
  rows.erase(rows.begin() + (rowOf(handle) - rows.data()));
  handleClosed.notify_all();
}

std::shared_ptr<DeviceMapping> openMapping(const terrace_device_part& part, uint32_t index, int& status) {
  auto mapping = std::make_shared<DeviceMapping>();
  mapping->device = deviceById(part.device_id);
  status = -ENODEV;
  if (mapping->device == nullptr) return nullptr;
  const cuda::Result entered = enter(*mapping->device);
  status = entered == cuda::success ? openPart(part, index, mapping)
                                    : cuda::refuseResult(entered, "parts[%u].device", index);
  if (status == 0 && (part.offset > mapping->byteCount || part.byte_count > mapping->byteCount - part.offset))
    status = refuse(-EINVAL, "parts[%u].byteCount: the allocation has %" PRIu64 " bytes", index,
                    mapping->byteCount);
  return status == 0 ? mapping : nullptr;
}

}  // namespace terrace
