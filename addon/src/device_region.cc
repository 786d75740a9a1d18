#include "device_region.h"

#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>

#include "device_mapping.h"
#include "limits.h"
#include "problem.h"
#include "regions.h"

namespace terrace {
namespace {

int checkPart(const terrace_device_part& part, uint32_t index) {
  if (part.size != sizeof part) return refuse(-EINVAL, "parts[%u].size: unknown size %u", index, part.size);
  if (part.byte_count < 1 || part.byte_count > byteCountMax)
    return refuse(-EINVAL, "parts[%u].byteCount: must be 1 or more", index);
  if (part.offset > byteCountMax) return refuse(-EINVAL, "parts[%u].offset: too large", index);
  if (part.allocation_bytes > byteCountMax)
    return refuse(-EINVAL, "parts[%u].allocationBytes: too large", index);
  return 0;
}

int addPart(Region& region, const terrace_device_part& part, uint32_t index) {
  if (const int wrong = checkPart(part, index)) return wrong;
  if (region.byteCount + part.byte_count > byteCountMax)
    return refuse(-EINVAL, "parts[%u].byteCount: all parts together are too large", index);
  int status = 0;
  std::shared_ptr<DeviceMapping> mapping = openMapping(part, index, status);
  if (mapping == nullptr) return status;
  if (!region.parts.empty() && region.parts.front().mapping->device != mapping->device)
    return refuse(-EINVAL, "parts[%u].device: one region lies on one GPU", index);
  const uint64_t address = mapping->address + part.offset;
  region.parts.push_back({region.byteCount, part.byte_count, address, std::move(mapping)});
  region.byteCount += part.byte_count;
  return 0;
}

}  // namespace

int checkPartCount(uint32_t partCount) {
  return partCount >= 1 && partCount <= devicePartsMax
             ? 0
             : refuse(-EINVAL, "parts: must be 1 to %u, not %u", devicePartsMax, partCount);
}

void closeDescriptors(const terrace_device_part* parts, uint32_t partCount) {
  for (uint32_t i = 0; i < partCount; i++)
    if (parts[i].kind == TERRACE_PART_DESCRIPTOR && parts[i].descriptor >= 0) close(parts[i].descriptor);
}

int openDevice(const terrace_device_part* parts, uint32_t partCount, bool writable, uint32_t* handle) {
  int status = checkPartCount(partCount);
  auto region = std::make_shared<Region>();
  region->kind = Region::Kind::device;
  region->writable = writable;
  for (uint32_t i = 0; i < partCount && status == 0; i++) status = addPart(*region, parts[i], i);
  closeDescriptors(parts, partCount);
  return status == 0 ? publishRegion(std::move(region), handle) : status;
}

size_t describeDevices(char* into, size_t intoBytes) {
  const cuda::Driver* const driver = cuda::driver();
  if (driver == nullptr) {
    const int length = snprintf(into, intoBytes, "{\"absent\":\"%s\"}", cuda::driverAbsence());
    return static_cast<size_t>(length);
  }
  int count = 0;
  driver->deviceGetCount(&count);
  int length = snprintf(into, intoBytes, "{\"driver\":\"%d.%d\",\"batches\":%s,\"devices\":[",
                        driver->version / 1000, driver->version % 1000 / 10,
                        driver->hasBatches() ? "true" : "false");
  for (int ordinal = 0; ordinal < count && length < static_cast<int>(intoBytes); ordinal++) {
    cuda::Device number = 0;
    char name[96] = "";
    int processors = 0;
    if (driver->deviceGet(&number, ordinal) != cuda::success) continue;
    driver->deviceGetName(name, sizeof name - 1, number);
    driver->deviceGetAttribute(&processors, cuda::multiprocessorCount, number);
    length += snprintf(into + length, intoBytes - static_cast<size_t>(length),
                       "%s{\"name\":\"%s\",\"multiprocessors\":%d}", ordinal == 0 ? "" : ",", name, processors);
  }
  if (length < static_cast<int>(intoBytes))
    length += snprintf(into + length, intoBytes - static_cast<size_t>(length), "]}");
  return static_cast<size_t>(length);
}

}  // namespace terrace
