#include "memory_left.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace terrace {
namespace {

constexpr uint64_t unlimited = UINT64_MAX;

/** The number in a file with nothing else in it; `unlimited` when there is none. */
uint64_t numberIn(const char* path) {
  FILE* const file = fopen(path, "re");
  if (file == nullptr) return unlimited;
  uint64_t value = unlimited;
  if (fscanf(file, "%" SCNu64, &value) != 1) value = unlimited;
  fclose(file);
  return value;
}

uint64_t availableBytes() {
  FILE* const file = fopen("/proc/meminfo", "re");
  if (file == nullptr) return unlimited;
  char line[128];
  uint64_t kibibytes = unlimited / 1024;
  while (fgets(line, sizeof line, file) != nullptr)
    if (sscanf(line, "MemAvailable: %" SCNu64, &kibibytes) == 1) break;
  fclose(file);
  return kibibytes * 1024;
}

/** What the control group leaves, from its root as this process sees it (a container's own limit). */
uint64_t groupBytes() {
  const uint64_t limit = numberIn("/sys/fs/cgroup/memory.max");
  const uint64_t used = numberIn("/sys/fs/cgroup/memory.current");
  if (limit == unlimited || used == unlimited) return unlimited;
  return limit > used ? limit - used : 0;
}

}  // namespace

uint64_t memoryBytesLeft() {
  const uint64_t available = availableBytes();
  const uint64_t group = groupBytes();
  return available < group ? available : group;
}

}  // namespace terrace
