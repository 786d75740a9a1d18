#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <vector>

#include "device_region.h"
#include "devices.h"
#include "door.h"
#include "limits.h"
#include "problem.h"

namespace terrace {
namespace {

/** Where an exported range lies in its allocation. */
void place(terrace_device_part& part, uint64_t base, uint64_t allocationBytes, uint64_t address) {
  part.allocation_base = base;
  part.allocation_bytes = allocationBytes;
  part.offset = address - base;
}

int exportHandle(const cuda::Driver& driver, uint64_t address, terrace_device_part& part) {
  cuda::Address base = 0;
  size_t byteCount = 0;
  cuda::IpcHandle handle;
  cuda::Result result = driver.memGetAddressRange(&base, &byteCount, address);
  if (result == cuda::success) result = driver.ipcGetMemHandle(&handle, base);
  if (result != cuda::success) return cuda::refuseResult(result, "address: it has no handle");
  part.kind = TERRACE_PART_IPC;
  memcpy(part.handle, handle.bytes, sizeof part.handle);
  place(part, base, byteCount, address);
  return 0;
}

int exportDescriptor(const cuda::Driver& driver, uint64_t address, terrace_device_part& part) {
  cuda::Address base = 0;
  size_t byteCount = 0;
  cuda::Result result = driver.pointerGetAttribute(&base, cuda::mappingBaseOf, address);
  if (result == cuda::success) result = driver.pointerGetAttribute(&byteCount, cuda::mappingSizeOf, address);
  if (result != cuda::success) return cuda::refuseResult(result, "address: it has no mapping");
  cuda::Allocation allocation = 0;
  result = driver.memRetainAllocationHandle(&allocation, reinterpret_cast<void*>(address));
  if (result != cuda::success) return cuda::refuseResult(result, "address: it has no allocation");
  int descriptor = -1;
  result = driver.memExportToShareableHandle(&descriptor, allocation, cuda::handleIsDescriptor, 0);
  driver.memRelease(allocation);
  if (result != cuda::success) return cuda::refuseResult(result, "address: it has no descriptor");
  part.kind = TERRACE_PART_DESCRIPTOR;
  part.descriptor = descriptor;
  place(part, base, byteCount, address);
  return 0;
}

/** Hands in the descriptor of each part that has one, under a name of its own. */
int handDescriptors(const char* doorPath, terrace_device_part* parts, uint32_t partCount) {
  for (uint32_t i = 0; i < partCount; i++) {
    terrace_device_part& part = parts[i];
    if (part.kind == TERRACE_PART_OWN)
      return refuse(-EINVAL, "parts[%u].kind: memory of one's own cannot be handed to another process", i);
    // An address says nothing to others, and is nobody's business.
    part.allocation_base = 0;
    if (part.kind != TERRACE_PART_DESCRIPTOR) continue;
    if (getrandom(part.token, sizeof part.token, 0) != static_cast<ssize_t>(sizeof part.token))
      return refuseErrno(errno, "parts[%u].token", i);
    if (const int failed = handDescriptor(doorPath, part.token, part.descriptor)) return failed;
  }
  return 0;
}

/** A sealed file with the parts in it: what is handed in for the region as a whole. */
int listOf(const terrace_device_part* parts, uint32_t partCount) {
  const int list = memfd_create("terrace-parts", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (list < 0) return refuseErrno(errno, "memfd");
  const size_t byteCount = partCount * sizeof *parts;
  if (write(list, parts, byteCount) == static_cast<ssize_t>(byteCount) &&
      fcntl(list, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
    return list;
  const int failed = refuseErrno(errno, "memfd of parts");
  close(list);
  return failed;
}

/** Reads the parts that were handed in. What a peer wrote is copied first and checked afterwards. */
int readList(int list, std::vector<terrace_device_part>& parts) {
  const off_t byteCount = lseek(list, 0, SEEK_END);
  constexpr off_t partBytes = sizeof(terrace_device_part);
  if (byteCount <= 0 || byteCount % partBytes != 0 || byteCount / partBytes > off_t{devicePartsMax})
    return refuse(-EINVAL, "parts: what was handed in is no list of 1 to %u parts", devicePartsMax);
  parts.resize(static_cast<size_t>(byteCount / partBytes));
  if (pread(list, parts.data(), static_cast<size_t>(byteCount), 0) != byteCount)
    return refuse(-EINVAL, "parts: what was handed in cannot be read");
  // A descriptor's number means nothing in another process.
  for (terrace_device_part& part : parts) part.descriptor = -1;
  return 0;
}

}  // namespace

int exportDevice(uint64_t address, uint64_t byteCount, terrace_device_part* part) {
  if (part->size != sizeof *part) return refuse(-EINVAL, "part.size: unknown size %u", part->size);
  const cuda::Driver* const driver = cuda::driver();
  if (driver == nullptr) return -ENODEV;
  int ordinal = -1;
  const cuda::Result found = driver->pointerGetAttribute(&ordinal, cuda::deviceOrdinalOf, address);
  if (found != cuda::success) return cuda::refuseResult(found, "address: it is not of a GPU");
  const Device* const device = deviceByOrdinal(ordinal);
  if (device == nullptr) return -ENODEV;
  if (const cuda::Result entered = enter(*device)) return cuda::refuseResult(entered, "device: %d", ordinal);
  *part = {};
  part->size = sizeof *part;
  part->descriptor = -1;
  part->byte_count = byteCount;
  memcpy(part->device_id, device->id, sizeof part->device_id);
  int isLegacy = 0;
  uint64_t types = 0;
  driver->pointerGetAttribute(&isLegacy, cuda::isLegacyIpcCapable, address);
  driver->pointerGetAttribute(&types, cuda::allowedHandleTypes, address);
  const bool hasDescriptor = (types & cuda::handleIsDescriptor) != 0 && driver->memMap != nullptr;
  if (isLegacy == 0 && !hasDescriptor)
    return refuse(-EOPNOTSUPP,
                  "address: this allocation was not made to be shared; the engine must allocate with cudaMalloc, "
                  "or ask for handles");
  const int failed =
      isLegacy != 0 ? exportHandle(*driver, address, *part) : exportDescriptor(*driver, address, *part);
  if (failed != 0) return failed;
  if (byteCount >= 1 && byteCount <= part->allocation_bytes - part->offset) return 0;
  closeDescriptors(part, 1);
  part->descriptor = -1;
  return refuse(-EINVAL, "byteCount: %" PRIu64 " bytes reach out of the allocation", byteCount);
}

int handDevice(const char* doorPath, const uint8_t* token, terrace_device_part* parts, uint32_t partCount) {
  int failed = checkPartCount(partCount);
  if (failed == 0) failed = handDescriptors(doorPath, parts, partCount);
  closeDescriptors(parts, partCount);
  if (failed != 0) return failed;
  const int list = listOf(parts, partCount);
  if (list < 0) return list;
  failed = handDescriptor(doorPath, token, list);
  close(list);
  return failed;
}

int openParts(uint32_t doorHandle, int list, uint64_t byteCount, bool writable, uint32_t* handle) {
  const std::shared_ptr<Door> door = doors().find(doorHandle);
  std::vector<terrace_device_part> parts;
  int failed =
      door == nullptr ? refuse(-EINVAL, "door: %u is not open", doorHandle) : readList(list, parts);
  close(list);
  uint64_t given = 0;
  for (uint32_t i = 0; i < parts.size() && failed == 0; i++) {
    terrace_device_part& part = parts[i];
    given += part.byte_count;
    if (part.kind == TERRACE_PART_OWN)
      failed = refuse(-EINVAL, "parts[%u].kind: an address of another process is not memory here", i);
    else if (part.kind == TERRACE_PART_DESCRIPTOR && (part.descriptor = door->take(part.token)) < 0)
      failed = refuse(-ENOENT, "parts[%u].token: no descriptor was handed in under it", i);
  }
  if (failed == 0 && given != byteCount)
    failed = refuse(-EINVAL, "byteCount: the parts have %" PRIu64 " bytes, not %" PRIu64, given, byteCount);
  if (failed == 0)
    return openDevice(parts.data(), static_cast<uint32_t>(parts.size()), writable, handle);
  closeDescriptors(parts.data(), static_cast<uint32_t>(parts.size()));
  return failed;
}

}  // namespace terrace
