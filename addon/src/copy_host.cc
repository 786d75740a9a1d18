#include "copy_host.h"

#include <cstring>

#include "checksum.h"
#include "limits.h"

namespace terrace {
namespace {

/** Sums a slot from its start, in chunks, never past what is known to be there. */
class SlotSum {
 public:
  explicit SlotSum(const uint8_t* slot) : next_(slot) {}

  /** Sums what lies before `end`, once that is a chunk or more. */
  void upTo(const uint8_t* end) {
    if (static_cast<uint64_t>(end - next_) >= sumChunkBytes) finish(end);
  }
  uint32_t finish(const uint8_t* end) {
    sum_ = crc32c(next_, static_cast<size_t>(end - next_), sum_);
    next_ = end;
    return sum_;
  }

 private:
  const uint8_t* next_;
  uint32_t sum_ = 0;
};

uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

}  // namespace

uint32_t gather(const uint8_t* region, const Place& place, uint64_t block, uint8_t* slot) {
  SlotSum sum(slot);
  for (uint32_t i = 0; i < place.planeCount; i++) {
    const Plane& plane = place.planes[i];
    const uint8_t* piece = region + plane.baseOffset + block * plane.blockStride;
    for (uint64_t layer = 0; layer < plane.layerCount; layer++, piece += plane.layerStride) {
      for (uint64_t done = 0; done < plane.pieceBytes;) {
        const uint64_t chunk = smaller(plane.pieceBytes - done, sumChunkBytes);
        memcpy(slot, piece + done, chunk);
        slot += chunk;
        done += chunk;
        sum.upTo(slot);
      }
    }
  }
  return sum.finish(slot);
}

uint32_t scatter(const uint8_t* slot, const Place& place, uint64_t block, uint8_t* region) {
  SlotSum sum(slot);
  for (uint32_t i = 0; i < place.planeCount; i++) {
    const Plane& plane = place.planes[i];
    uint8_t* piece = region + plane.baseOffset + block * plane.blockStride;
    for (uint64_t layer = 0; layer < plane.layerCount; layer++, piece += plane.layerStride) {
      for (uint64_t done = 0; done < plane.pieceBytes;) {
        const uint64_t chunk = smaller(plane.pieceBytes - done, sumChunkBytes);
        memcpy(piece + done, slot, chunk);
        slot += chunk;
        done += chunk;
        sum.upTo(slot);
      }
    }
  }
  return sum.finish(slot);
}

uint32_t copySummed(const uint8_t* source, uint8_t* target, uint64_t byteCount) {
  uint32_t sum = 0;
  while (byteCount > 0) {
    const uint64_t chunk = smaller(byteCount, sumChunkBytes);
    memcpy(target, source, chunk);
    sum = crc32c(target, chunk, sum);
    source += chunk;
    target += chunk;
    byteCount -= chunk;
  }
  return sum;
}

}  // namespace terrace
