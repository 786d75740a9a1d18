#include "regions.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>

#include "device_mapping.h"
#include "memory_left.h"
#include "pin.h"
#include "problem.h"

namespace terrace {
namespace {

constexpr long hugetlbfsMagic = 0x958458f6;

int map(Region& region) {
  const int protection = PROT_READ | (region.writable ? PROT_WRITE : 0);
  void* const base = mmap(nullptr, region.mappedBytes, protection, MAP_SHARED, region.descriptor, 0);
  if (base == MAP_FAILED)
    return refuseErrno(errno, "byteCount: %" PRIu64 " bytes cannot be mapped", region.byteCount);
  region.base = static_cast<uint8_t*>(base);
  // A core dump holds nobody's KV.
  madvise(base, region.mappedBytes, MADV_DONTDUMP);
  return 0;
}

}  // namespace

Regions& regions() {
  // Never destroyed: threads may still run while the process exits.
  static Regions* const table = new Regions;
  return *table;
}

int publishRegion(std::shared_ptr<Region> region, uint32_t* handle) {
  *handle = regions().add(std::move(region));
  return *handle == 0 ? refuse(-EMFILE, "regions: too many are open") : 0;
}

uint64_t Region::addressOf(uint64_t offset, uint64_t wantedBytes) const {
  // The last part that starts at or before the offset.
  auto after = std::upper_bound(parts.begin(), parts.end(), offset,
                                [](uint64_t at, const RegionPart& part) { return at < part.start; });
  if (after == parts.begin()) return 0;
  const RegionPart& part = *--after;
  const uint64_t from = offset - part.start;
  return from <= part.byteCount && wantedBytes <= part.byteCount - from ? part.address + from : 0;
}

bool Region::isPinned(uint64_t offset, uint64_t wantedBytes) {
  const std::lock_guard<std::mutex> lock(pinnedMutex);
  for (const PinnedRange& range : pinned)
    if (offset >= range.start && offset + wantedBytes <= range.start + range.byteCount) return true;
  return false;
}

Region::~Region() {
  unpinAll(*this);
  if (base != nullptr) munmap(base, mappedBytes);
  if (descriptor >= 0) close(descriptor);
}

int openMemory(uint64_t byteCount, uint32_t* handle) {
  if (byteCount < 1 || byteCount > byteCountMax) return refuse(-EINVAL, "byteCount: must be 1 or more");
  const uint64_t left = memoryBytesLeft();
  if (byteCount > left)
    return refuseErrno(ENOMEM, "byteCount: %" PRIu64 " bytes wanted, %" PRIu64 " available", byteCount, left);
  auto region = std::make_shared<Region>();
  region->descriptor = memfd_create("terrace", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (region->descriptor < 0) return refuseErrno(errno, "memfd");
  region->byteCount = byteCount;
  region->mappedBytes = pageRounded(byteCount);
  region->writable = true;
  if (ftruncate(region->descriptor, static_cast<off_t>(region->mappedBytes)) != 0)
    return refuseErrno(errno, "byteCount: %" PRIu64 " bytes", byteCount);
  // Nobody who is given the descriptor can shorten the memory under us, or take these seals off.
  if (fcntl(region->descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return refuseErrno(errno, "memfd seals");
  if (const int status = map(*region)) return status;
  return publishRegion(std::move(region), handle);
}

int openShared(int descriptor, uint64_t byteCount, bool writable, uint32_t* handle) {
  auto region = std::make_shared<Region>();
  // Ours from here on: every way out of here closes it.
  region->descriptor = descriptor;
  if (byteCount < 1 || byteCount > byteCountMax) return refuse(-EINVAL, "byteCount: must be 1 or more");
  struct stat status;
  if (fstat(descriptor, &status) != 0) return refuseErrno(errno, "descriptor: %d", descriptor);
  if (!S_ISREG(status.st_mode))
    return refuse(-EINVAL, "descriptor: %d is not a file that can be mapped", descriptor);
  if (static_cast<uint64_t>(status.st_size) < byteCount)
    return refuse(-EINVAL, "byteCount: %" PRIu64 " wanted, but the file has %" PRIu64, byteCount,
                  static_cast<uint64_t>(status.st_size));
  const int access = fcntl(descriptor, F_GETFL) & O_ACCMODE;
  if (access == O_WRONLY || (writable && access != O_RDWR))
    return refuse(-EACCES, "descriptor: %d is not open for %s", descriptor,
                  writable ? "writing and reading" : "reading");
  fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  region->kind = Region::Kind::shared;
  region->byteCount = byteCount;
  region->mappedBytes = pageRounded(byteCount);
  region->writable = writable;
  struct statfs system;
  if (fstatfs(descriptor, &system) == 0 && static_cast<long>(system.f_type) == hugetlbfsMagic) {
    const uint64_t huge = static_cast<uint64_t>(system.f_bsize);
    region->mappedBytes = (byteCount + huge - 1) / huge * huge;
  }
  const int seals = fcntl(descriptor, F_GET_SEALS);
  region->fragile = seals < 0 || (seals & F_SEAL_SHRINK) == 0;
  if (const int failed = map(*region)) return failed;
  return publishRegion(std::move(region), handle);
}

int closeRegion(uint32_t handle) {
  const std::shared_ptr<Region> region = regions().take(handle);
  if (region == nullptr) return refuse(-EINVAL, "region: %u is not open", handle);
  region->closed = true;
  return 0;
}

}  // namespace terrace
