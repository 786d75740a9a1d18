#include "capi.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <new>

#include "chain.h"
#include "checksum.h"
#include "device_region.h"
#include "door.h"
#include "places.h"
#include "problem.h"
#include "queue.h"
#include "regions.h"
#include "sha256.h"

using namespace terrace;

namespace {

/** Keeps a region alive for an address that was handed out. */
struct Window {
  std::shared_ptr<Region> region;
};

std::shared_ptr<Queue> queueOf(uint32_t handle) {
  std::shared_ptr<Queue> queue = queues().find(handle);
  if (queue == nullptr) refuse(-EINVAL, "queue: %u is not open", handle);
  return queue;
}

std::shared_ptr<Region> regionOf(uint32_t handle) {
  std::shared_ptr<Region> region = regions().find(handle);
  if (region == nullptr) refuse(-EINVAL, "region: %u is not open", handle);
  return region;
}

}  // namespace

uint32_t terrace_abi_version(void) { return TERRACE_ABI_VERSION; }
const char* terrace_problem(void) { return lastProblem(); }

size_t terrace_describe(char* into, size_t into_bytes) {
  const int length =
      snprintf(into, into_bytes,
               "{\"abiVersion\":%u,\"crc32c\":\"%s\",\"sha256\":\"%s\",\"fileIo\":[\"threads\"],"
               "\"nixl\":false,\"compiler\":\"%s\"}",
               TERRACE_ABI_VERSION, crc32cKind(), shaChosen().kind, __VERSION__);
  return length < 0 ? 0 : static_cast<size_t>(length);
}

int terrace_open_memory(uint64_t byte_count, uint32_t* region) { return openMemory(byte_count, region); }
int terrace_open_shared(int descriptor, uint64_t byte_count, int writable, uint32_t* region) {
  return openShared(descriptor, byte_count, writable != 0, region);
}
int terrace_open_file(const char* path, uint64_t byte_count, int direct, uint32_t* region) {
  return openFile(path, byte_count, direct != 0, region);
}
int terrace_close_region(uint32_t region) { return closeRegion(region); }

int terrace_window(uint32_t handle, uint64_t offset, uint64_t byte_count, void** address, void** hold) {
  std::shared_ptr<Region> region = regionOf(handle);
  if (region == nullptr) return -EINVAL;
  if (!region->isMemory()) return refuse(-EINVAL, "region: %u is not host memory, it has no window", handle);
  if (!region->writable)
    return refuse(-EINVAL, "region: %u is open for reading only, it has no window", handle);
  if (region->fragile)
    return refuse(-EINVAL, "region: %u can be shortened by its owner, it has no window", handle);
  if (offset > region->byteCount) return refuse(-EINVAL, "offset: outside region %u", handle);
  if (byte_count > region->byteCount - offset) return refuse(-EINVAL, "byteCount: outside region %u", handle);
  *address = region->base + offset;
  Window* const window = new (std::nothrow) Window{std::move(region)};
  if (window == nullptr) return refuse(-ENOMEM, "region: no memory for a window");
  *hold = window;
  return 0;
}
void terrace_release_window(void* hold) { delete static_cast<Window*>(hold); }

int terrace_region_byte_count(uint32_t handle, uint64_t* byte_count) {
  const std::shared_ptr<Region> region = regionOf(handle);
  if (region == nullptr) return -EINVAL;
  *byte_count = region->byteCount;
  return 0;
}

int terrace_descriptor(uint32_t handle) {
  const std::shared_ptr<Region> region = regionOf(handle);
  if (region == nullptr) return -EINVAL;
  if (!region->isMemory()) return refuse(-EINVAL, "region: %u has none; only host memory is handed on", handle);
  return region->descriptor;
}

size_t terrace_describe_devices(char* into, size_t into_bytes) { return describeDevices(into, into_bytes); }
int terrace_export_device(uint64_t address, uint64_t byte_count, terrace_device_part* part) {
  return exportDevice(address, byte_count, part);
}
int terrace_open_device(const terrace_device_part* parts, uint32_t part_count, int writable,
                        uint32_t* region) {
  return openDevice(parts, part_count, writable != 0, region);
}
int terrace_hand_device(const char* path, const uint8_t* token, terrace_device_part* parts,
                        uint32_t part_count) {
  return handDevice(path, token, parts, part_count);
}
int terrace_open_parts(uint32_t door, int list, uint64_t byte_count, int writable, uint32_t* region) {
  return openParts(door, list, byte_count, writable != 0, region);
}

int terrace_open_place(const terrace_plane* planes, uint32_t plane_count, uint32_t* place) {
  return openPlace(planes, plane_count, place);
}
int terrace_close_place(uint32_t place) { return closePlace(place); }
int terrace_set_path(uint32_t place, uint32_t path) { return setPath(place, path); }

int terrace_open_queue(const terrace_queue_options* options, uint32_t* queue) {
  return Queue::open(*options, queue);
}
int terrace_queue_descriptor(uint32_t handle) {
  const std::shared_ptr<Queue> queue = queueOf(handle);
  return queue == nullptr ? -EINVAL : queue->descriptor();
}
int terrace_submit(uint32_t handle, const terrace_step* steps, uint32_t step_count) {
  const std::shared_ptr<Queue> queue = queueOf(handle);
  return queue == nullptr ? -EINVAL : queue->submit(steps, step_count);
}
int terrace_drain(uint32_t handle, terrace_completion* into, uint32_t into_count) {
  if (queues().wasClosed(handle)) return 0;
  const std::shared_ptr<Queue> queue = queueOf(handle);
  return queue == nullptr ? -EINVAL : static_cast<int>(queue->drain(into, into_count));
}
int terrace_queue_waiting(uint32_t handle) {
  const std::shared_ptr<Queue> queue = queueOf(handle);
  return queue == nullptr ? -EINVAL : queue->waiting();
}
int terrace_stop_queue(uint32_t handle) {
  const std::shared_ptr<Queue> queue = queueOf(handle);
  if (queue == nullptr) return -EINVAL;
  queue->stop();
  return 0;
}
int terrace_queue_ended(uint32_t handle) {
  const std::shared_ptr<Queue> queue = queueOf(handle);
  return queue == nullptr ? -EINVAL : queue->ended();
}
int terrace_wait_queue(uint32_t handle) {
  const std::shared_ptr<Queue> queue = queueOf(handle);
  if (queue == nullptr) return -EINVAL;
  if (!queue->stopped()) return refuse(-EBUSY, "queue: %u was not stopped", handle);
  queue->join();
  return 0;
}
int terrace_free_queue(uint32_t handle) {
  const std::shared_ptr<Queue> queue = queueOf(handle);
  if (queue == nullptr) return -EINVAL;
  if (!queue->stopped() || !queue->ended()) return refuse(-EBUSY, "queue: %u has not ended", handle);
  queues().take(handle);
  return 0;
}

int64_t terrace_chain(const uint8_t* secret, size_t secret_bytes, const uint32_t* tokens, size_t token_count,
                      uint32_t block_tokens, uint8_t* into, size_t into_bytes) {
  if (block_tokens < 1 || block_tokens > 65536) return refuse(-EINVAL, "blockTokens: must be 1 to 65536");
  const size_t wanted = token_count / block_tokens * keyBytes;
  if (into_bytes < wanted)
    return refuse(-EINVAL, "into: has %zu bytes, the keys need %zu", into_bytes, wanted);
  return static_cast<int64_t>(chain(secret, secret_bytes, tokens, token_count, block_tokens, into));
}
uint32_t terrace_crc32c(const void* bytes, size_t byte_count, uint32_t previous) {
  return crc32c(bytes, byte_count, previous);
}

int terrace_peer_of(int socket_descriptor, terrace_peer* peer) { return peerOf(socket_descriptor, peer); }
int terrace_open_door(const char* path, uint32_t* door) { return Door::open(path, door); }
int terrace_close_door(uint32_t door) { return closeDoor(door); }
int terrace_take_descriptor(uint32_t handle, const uint8_t* token) {
  const std::shared_ptr<Door> door = doors().find(handle);
  return door == nullptr ? refuse(-EINVAL, "door: %u is not open", handle) : door->take(token);
}
int terrace_hand_descriptor(const char* path, const uint8_t* token, int descriptor) {
  return handDescriptor(path, token, descriptor);
}
