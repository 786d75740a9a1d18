#include "copy_host.h"

#include <cstring>

#include "checksum.h"
#include "limits.h"

namespace terrace {
namespace {

/** Sums a slot from its start, in chunks, never past what is known to be there. */
class SlotSum {
 public:
  SlotSum(const uint8_t* slot, uint32_t sum) : next_(slot), sum_(sum) {}

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
  uint32_t sum_;
};

uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

/** Copies pieces; every chunk of `slot` (source or target) is summed after it was copied, on top of `sum`. */
uint32_t copyInChunks(const Pieces& pieces, const uint8_t* slot, uint32_t sum) {
  SlotSum slotSum(slot, sum);
  uint8_t* target = pieces.target;
  const uint8_t* source = pieces.source;
  for (uint64_t piece = 0; piece < pieces.pieceCount; piece++) {
    for (uint64_t done = 0; done < pieces.pieceBytes;) {
      const uint64_t chunk = smaller(pieces.pieceBytes - done, sumChunkBytes);
      memcpy(target + done, source + done, chunk);
      slot += chunk;
      done += chunk;
      slotSum.upTo(slot);
    }
    target += pieces.targetStride;
    source += pieces.sourceStride;
  }
  return slotSum.finish(slot);
}

/** The fastest way that the pieces allow. */
uint32_t copyPieces(const Pieces& pieces, const uint8_t* slot, uint32_t sum) {
  static const PiecesFunction fused = piecesOfThisCpu();
  if (fused != nullptr && pieces.pieceBytes % pieceUnitBytes == 0) return ~fused(~sum, pieces);
  return copyInChunks(pieces, slot, sum);
}

}  // namespace

uint32_t gather(const uint8_t* region, const Place& place, uint64_t block, uint8_t* slot) {
  const bool streaming = place.payloadBytes >= streamingBytesMin;
  uint32_t sum = 0;
  for (uint32_t i = 0; i < place.planeCount; i++) {
    const Plane& plane = place.planes[i];
    const uint8_t* const first = region + plane.baseOffset + block * plane.blockStride;
    sum = copyPieces(
        {slot, first, plane.pieceBytes, plane.layerStride, plane.pieceBytes, plane.layerCount, streaming},
        slot, sum);
    slot += plane.layerCount * plane.pieceBytes;
  }
  return sum;
}

uint32_t scatter(const uint8_t* slot, const Place& place, uint64_t block, uint8_t* region) {
  const bool streaming = place.payloadBytes >= streamingBytesMin;
  uint32_t sum = 0;
  for (uint32_t i = 0; i < place.planeCount; i++) {
    const Plane& plane = place.planes[i];
    uint8_t* const first = region + plane.baseOffset + block * plane.blockStride;
    sum = copyPieces(
        {first, slot, plane.layerStride, plane.pieceBytes, plane.pieceBytes, plane.layerCount, streaming},
        slot, sum);
    slot += plane.layerCount * plane.pieceBytes;
  }
  return sum;
}

uint32_t copySummed(const uint8_t* source, uint8_t* target, uint64_t byteCount) {
  const uint64_t rest = byteCount % pieceUnitBytes;
  const uint64_t whole = byteCount - rest;
  uint32_t sum = 0;
  if (whole > 0)
    sum = copyPieces({target, source, 0, 0, whole, 1, byteCount >= streamingBytesMin}, target, sum);
  return copyInChunks({target + whole, source + whole, 0, 0, rest, 1, false}, target + whole, sum);
}

}  // namespace terrace
