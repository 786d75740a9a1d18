#pragma once

#include <cstdint>

namespace terrace {

/** Every numeric limit of the native side, with unit and reason. */

/** Slots start at multiples of this, in bytes; the header page of a stored block is one of them. The largest
 * alignment that direct I/O asks for in practice. Equal to slotPageBytes of tiers/block/limits.ts. */
constexpr uint64_t slotPageBytes = 4096;
/** Bytes of a seal at the start of a header page. Equal to sealByteCount of tiers/block/seal.ts. */
constexpr uint64_t sealBytes = 256;
/** Steps of one queue, taken and not yet drained. Both rings have this length: neither can overflow. */
constexpr uint32_t queueStepsMax = 4096;
/** Threads of one queue. More than this many blocking reads no longer helps one drive. */
constexpr uint32_t queueThreadsMax = 64;
/** Planes of a place, layers of a plane. Equal to the limits of a layout. */
constexpr uint32_t placePlanesMax = 8;
constexpr uint64_t placeLayersMax = 65536;
/** Largest offset or count, in bytes: what a JavaScript number holds exactly. Sums never overflow 64 bits. */
constexpr uint64_t byteCountMax = (uint64_t{1} << 53) - 1;
/** Bytes that are summed while they are still in the first-level cache. */
constexpr uint64_t sumChunkBytes = 16384;
/** Payloads from this many bytes are stored past the caches: they would push out what is needed sooner. */
constexpr uint64_t streamingBytesMin = 262144;
/** GPUs of one machine that are looked at. Machines have eight, some sixteen. */
constexpr uint32_t devicesMax = 32;
/** Parts of one region of GPU memory: an engine with a tensor per layer and plane has some hundred. */
constexpr uint32_t devicePartsMax = 4096;
/** Copies in one call to the driver. It starts with the first one only when the call returns, so a call is cut. */
constexpr uint32_t copiesPerCall = 512;
/** Thread blocks of the copying kernel, and threads of each: few, because they take multiprocessors from the
 * engine; enough to fill a PCIe link. */
constexpr uint32_t kernelBlocksMax = 8;
constexpr uint32_t kernelThreads = 512;
/** Bytes that one thread block of the kernel takes at a time. Larger pieces are cut, or few blocks do all. */
constexpr uint64_t kernelPartBytes = 65536;
/** Pieces below this many bytes, not in even steps, go by the kernel: a batch of so small ones is slow, and slows
 * down whatever the GPU computes meanwhile. */
constexpr uint64_t kernelPieceBytesMax = 28672;
/** Longest time that a thread asks for the end of a copy before it sleeps, in microseconds. */
constexpr int64_t askingMicrosecondsMax = 50;
/** Descriptors, and connections, that wait at a door. As in tiers/block/limits.ts. */
constexpr uint32_t waitingDescriptorsMax = 64;
/** Bytes of the name under which a descriptor is handed in. */
constexpr uint32_t tokenBytes = 16;

constexpr uint64_t pageRounded(uint64_t byteCount) {
  return (byteCount + slotPageBytes - 1) / slotPageBytes * slotPageBytes;
}

}  // namespace terrace
