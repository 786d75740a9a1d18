#include "copy_device.h"

#include <cerrno>
#include <vector>

#include "checksum.h"
#include "device_lane.h"
#include "device_mapping.h"
#include "limits.h"
#include "move_pieces.h"

namespace terrace {
namespace {

/** One block on its way. */
struct Move {
  Region& deviceRegion;
  const Place& place;
  uint64_t block;
  Region& slotRegion;
  uint64_t slotAt;
  bool toDevice;

  uint8_t* slot() const { return slotRegion.base + slotAt; }
};

/** Bytes that lie in one run on both sides. */
struct Piece {
  cuda::Address device;
  cuda::Address slot;
  uint64_t byteCount;

  cuda::Address source(bool toDevice) const { return toDevice ? slot : device; }
  cuda::Address target(bool toDevice) const { return toDevice ? device : slot; }
};

/** The pieces of the block, neighbours joined; all of one size unless `isEven` is false. */
struct PieceList {
  std::vector<Piece> pieces;
  bool isEven = true;
  bool isAligned = true;
};

void listPieces(const Move& move, PieceList& list) {
  list.pieces.clear();
  auto slot = reinterpret_cast<cuda::Address>(move.slot());
  /** Where the last piece of the list starts in the region. */
  uint64_t lastStart = 0;
  for (uint32_t p = 0; p < move.place.planeCount; p++) {
    const Plane& plane = move.place.planes[p];
    for (uint64_t layer = 0; layer < plane.layerCount; layer++) {
      const uint64_t start = Place::pieceAt(plane, layer, move.block);
      Piece* const last = list.pieces.empty() ? nullptr : &list.pieces.back();
      // Only within a part: allocations that happen to touch are two all the same.
      if (last != nullptr && lastStart + last->byteCount == start &&
          move.deviceRegion.addressOf(lastStart, last->byteCount + plane.pieceBytes) != 0) {
        last->byteCount += plane.pieceBytes;
      } else {
        list.pieces.push_back({move.deviceRegion.addressOf(start, plane.pieceBytes), slot, plane.pieceBytes});
        lastStart = start;
      }
      slot += plane.pieceBytes;
    }
  }
  const uint64_t byteCount = list.pieces.front().byteCount;
  list.isEven = true;
  list.isAligned = true;
  for (const Piece& piece : list.pieces) {
    if (piece.byteCount != byteCount) list.isEven = false;
    if ((piece.device | piece.slot | piece.byteCount) % 16 != 0) list.isAligned = false;
  }
}

cuda::Result copyOneByOne(const DeviceLane& lane, const PieceList& list, bool toDevice) {
  for (const Piece& piece : list.pieces) {
    const cuda::Result result = cuda::driver()->memcpyAsync(piece.target(toDevice), piece.source(toDevice),
                                                            piece.byteCount, lane.stream);
    if (result != cuda::success) return result;
  }
  return cuda::success;
}

/** Pieces in one call: up to `copiesPerCall`. */
cuda::Result copyTogether(const DeviceLane& lane, const Piece* pieces, size_t count, bool toDevice) {
  cuda::Address sources[copiesPerCall];
  cuda::Address targets[copiesPerCall];
  size_t byteCounts[copiesPerCall];
  for (size_t i = 0; i < count; i++) {
    sources[i] = pieces[i].source(toDevice);
    targets[i] = pieces[i].target(toDevice);
    byteCounts[i] = pieces[i].byteCount;
  }
  cuda::CopyAttributes attributes = {};
  // Nobody writes to a slot that is being read; an engine's memory is read in the order of the stream.
  attributes.sourceOrder = toDevice ? cuda::orderAny : cuda::orderOfStream;
  attributes.flags = cuda::overlapWithCompute;
  size_t first = 0;
  const cuda::Driver& driver = *cuda::driver();
  if (driver.memcpyBatch != nullptr)
    return driver.memcpyBatch(targets, sources, byteCounts, count, &attributes, &first, 1, lane.stream);
  size_t failedAt = 0;
  return driver.memcpyBatchOf12(targets, sources, byteCounts, count, &attributes, &first, 1, &failedAt,
                                lane.stream);
}

cuda::Result copyInBatches(const DeviceLane& lane, const PieceList& list, bool toDevice) {
  for (size_t done = 0; done < list.pieces.size(); done += copiesPerCall) {
    const size_t left = list.pieces.size() - done;
    const size_t count = left < copiesPerCall ? left : copiesPerCall;
    const cuda::Result result = copyTogether(lane, list.pieces.data() + done, count, toDevice);
    if (result != cuda::success) return result;
  }
  return cuda::success;
}

cuda::Result copyByKernel(const DeviceLane& lane, const PieceList& list, bool toDevice) {
  const uint64_t byteCount = list.pieces.front().byteCount;
  MovePiecesTable table;
  uint64_t units = byteCount / 16;
  auto parts = static_cast<uint32_t>((byteCount + kernelPartBytes - 1) / kernelPartBytes);
  for (size_t done = 0; done < list.pieces.size(); done += movePiecesMax) {
    const size_t left = list.pieces.size() - done;
    auto count = static_cast<uint32_t>(left < movePiecesMax ? left : movePiecesMax);
    for (uint32_t i = 0; i < count; i++) {
      const Piece& piece = list.pieces[done + i];
      table.pieces[i] = {piece.source(toDevice), piece.target(toDevice)};
    }
    void* arguments[] = {&table, &units, &count, &parts};
    const uint32_t work = count * parts;
    const uint32_t blocks = work < kernelBlocksMax ? work : kernelBlocksMax;
    const cuda::Result result = cuda::driver()->launchKernel(lane.device->movePieces, blocks, 1, 1,
                                                             kernelThreads, 1, 1, 0, lane.stream, arguments,
                                                             nullptr);
    if (result != cuda::success) return result;
  }
  return cuda::success;
}

/** Where a plane's rows start on the GPU, or 0 when they do not lie in even steps of one part. */
cuda::Address rowsOf(const DeviceLane& lane, const Move& move, const Plane& plane) {
  if (plane.layerStride < plane.pieceBytes || plane.layerStride > lane.device->pitchBytesMax) return 0;
  const uint64_t span = (plane.layerCount - 1) * plane.layerStride + plane.pieceBytes;
  return move.deviceRegion.addressOf(Place::pieceAt(plane, 0, move.block), span);
}

bool isInRows(const DeviceLane& lane, const Move& move) {
  for (uint32_t p = 0; p < move.place.planeCount; p++)
    if (rowsOf(lane, move, move.place.planes[p]) == 0) return false;
  return true;
}

/** One copy for each plane. */
cuda::Result copyByRows(const DeviceLane& lane, const Move& move) {
  uint8_t* slot = move.slot();
  for (uint32_t p = 0; p < move.place.planeCount; p++) {
    const Plane& plane = move.place.planes[p];
    cuda::Copy2D copy = {};
    copy.widthBytes = plane.pieceBytes;
    copy.height = plane.layerCount;
    copy.sourceType = move.toDevice ? cuda::memoryIsHost : cuda::memoryIsDevice;
    copy.targetType = move.toDevice ? cuda::memoryIsDevice : cuda::memoryIsHost;
    copy.sourceHost = copy.targetHost = slot;
    copy.sourceDevice = copy.targetDevice = rowsOf(lane, move, plane);
    copy.sourcePitch = move.toDevice ? plane.pieceBytes : plane.layerStride;
    copy.targetPitch = move.toDevice ? plane.layerStride : plane.pieceBytes;
    const cuda::Result result = cuda::driver()->memcpy2DAsync(&copy, lane.stream);
    if (result != cuda::success) return result;
    slot += plane.layerCount * plane.pieceBytes;
  }
  return cuda::success;
}

/** The way that was asked for, or the nearest that this driver, slot and block allow. */
uint32_t pathOf(const DeviceLane& lane, const Move& move, const PieceList& list) {
  const bool isPinned = move.slotRegion.isPinned(move.slotAt, move.place.payloadBytes);
  const bool hasBatch = isPinned && cuda::driver()->hasBatches();
  const bool hasKernel = isPinned && lane.device->movePieces != nullptr && list.isEven && list.isAligned;
  const uint32_t asked = move.place.path;
  if (asked == TERRACE_PATH_KERNEL && hasKernel) return asked;
  if (asked == TERRACE_PATH_BATCH && hasBatch) return asked;
  if (asked == TERRACE_PATH_ROWS && isInRows(lane, move)) return asked;
  if (asked == TERRACE_PATH_LOOP) return asked;
  if (list.pieces.size() == 1) return TERRACE_PATH_LOOP;
  if (isInRows(lane, move)) return TERRACE_PATH_ROWS;
  if (hasKernel && list.pieces.front().byteCount < kernelPieceBytesMax) return TERRACE_PATH_KERNEL;
  return hasBatch ? TERRACE_PATH_BATCH : TERRACE_PATH_LOOP;
}

cuda::Result start(const DeviceLane& lane, const Move& move, PieceList& list) {
  listPieces(move, list);
  switch (pathOf(lane, move, list)) {
    case TERRACE_PATH_KERNEL:
      return copyByKernel(lane, list, move.toDevice);
    case TERRACE_PATH_BATCH:
      return copyInBatches(lane, list, move.toDevice);
    case TERRACE_PATH_ROWS:
      return copyByRows(lane, move);
    default:
      return copyOneByOne(lane, list, move.toDevice);
  }
}

int carryOut(const Move& move, uint32_t& checksum) {
  thread_local PieceList list;
  const Device& device = *move.deviceRegion.parts.front().mapping->device;
  const DeviceLane* const lane = laneOfThread(device);
  if (lane == nullptr) return -EIO;
  const cuda::Result started = start(*lane, move, list);
  // Also after a failed start: what was started before runs on, and nothing may end before it has.
  const cuda::Result ended = waitFor(*lane);
  if (started != cuda::success) return -cuda::errnoOf(started);
  if (ended != cuda::success) return -cuda::errnoOf(ended);
  // Both ways after the copy: a GPU reads memory at half its speed while a processor is reading the same lines.
  checksum = crc32c(move.slot(), move.place.payloadBytes, 0);
  return 0;
}

}  // namespace

int gatherDevice(const Step& step, uint32_t& checksum) {
  return carryOut({*step.source, *step.place, step.sourceAt, *step.target, step.targetAt, false}, checksum);
}

int scatterDevice(const Step& step, uint32_t& checksum) {
  return carryOut({*step.target, *step.place, step.targetAt, *step.source, step.sourceAt, true}, checksum);
}

}  // namespace terrace
