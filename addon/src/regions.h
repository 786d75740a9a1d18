#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "handles.h"
#include "limits.h"

namespace terrace {

/** Memory or storage that steps copy from or to. It lives as long as somebody holds it: the table, a step, a
 * window. So closing one never pulls memory away from under a running copy. */
struct Region {
  enum class Kind { memory, shared, file };

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

  Region() = default;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region();

  bool isMemory() const { return kind != Kind::file; }
};

using Regions = Handles<Region, 1>;
Regions& regions();

/** Each gives a handle and returns 0, or does nothing and returns minus an errno (why: problem.h). */
int openMemory(uint64_t byteCount, uint32_t* handle);
int openShared(int descriptor, uint64_t byteCount, bool writable, uint32_t* handle);
int openFile(const char* path, uint64_t byteCount, bool direct, uint32_t* handle);
int closeRegion(uint32_t handle);

}  // namespace terrace
