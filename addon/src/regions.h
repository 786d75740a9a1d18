#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "handles.h"
#include "limits.h"

namespace terrace {

struct DeviceMapping;

/** A run of a region of GPU memory: offsets from `start` on lie at `address` on. */
struct RegionPart {
  uint64_t start;
  uint64_t byteCount;
  uint64_t address;
  std::shared_ptr<DeviceMapping> mapping;
};

/** A range of host memory that the GPUs know. */
struct PinnedRange {
  uint64_t start;
  uint64_t byteCount;
};

/** Memory or storage that steps copy from or to. It lives as long as somebody holds it: the table, a step, a
 * window. So closing one never pulls memory away from under a running copy. */
struct Region {
  enum class Kind { memory, shared, file, device };

  Kind kind = Kind::memory;
  int descriptor = -1;
  uint8_t* base = nullptr;
  uint64_t byteCount = 0;
  /** What was mapped: `byteCount`, rounded up for huge pages. */
  uint64_t mappedBytes = 0;
  bool writable = false;
  /** Whether somebody else can shorten the file under the mapping. */
  bool fragile = false;
  /** O_DIRECT is on. A thread that meets EINVAL switches it off for good. */
  std::atomic<bool> direct{false};
  std::atomic<bool> closed{false};
  /** Of GPU memory, in the order of their offsets; never changed once the region is open. */
  std::vector<RegionPart> parts;
  std::mutex pinnedMutex;
  std::vector<PinnedRange> pinned;

  Region() = default;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region();

  /** Host memory: mapped here, with an address. */
  bool isMemory() const { return kind == Kind::memory || kind == Kind::shared; }
  bool isDevice() const { return kind == Kind::device; }
  /** GPU address of a range, or 0 when it does not lie in one part. */
  uint64_t addressOf(uint64_t offset, uint64_t byteCount) const;
  /** Whether the GPUs know all of a range. */
  bool isPinned(uint64_t offset, uint64_t byteCount);
};

using Regions = Handles<Region, 1>;
Regions& regions();

/** Each gives a handle and returns 0, or does nothing and returns minus an errno (why: problem.h). */
int openMemory(uint64_t byteCount, uint32_t* handle);
int openShared(int descriptor, uint64_t byteCount, bool writable, uint32_t* handle);
int openFile(const char* path, uint64_t byteCount, bool direct, uint32_t* handle);
int closeRegion(uint32_t handle);
int publishRegion(std::shared_ptr<Region> region, uint32_t* handle);

}  // namespace terrace
