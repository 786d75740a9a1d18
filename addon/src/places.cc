#include "places.h"

#include <cerrno>
#include <cinttypes>

#include "problem.h"

namespace terrace {

Places& places() {
  // Never destroyed: threads may still run while the process exits.
  static Places* const table = new Places;
  return *table;
}

bool Place::fits(uint64_t block, uint64_t regionBytes) const {
  for (uint32_t i = 0; i < planeCount; i++) {
    const Plane& plane = planes[i];
    using Wide = unsigned __int128;
    const Wide end = Wide{plane.baseOffset} + Wide{plane.layerCount - 1} * plane.layerStride +
                     Wide{block} * plane.blockStride + plane.pieceBytes;
    if (end > regionBytes) return false;
  }
  return true;
}

int openPlace(const terrace_plane* planes, uint32_t planeCount, uint32_t* handle) {
  if (planeCount < 1 || planeCount > placePlanesMax)
    return refuse(-EINVAL, "planes: must be 1 to %u, not %u", placePlanesMax, planeCount);
  auto place = std::make_shared<Place>();
  for (uint32_t i = 0; i < planeCount; i++) {
    const terrace_plane& given = planes[i];
    if (given.size != sizeof given) return refuse(-EINVAL, "planes[%u].size: unknown size %u", i, given.size);
    if (given.base_offset > byteCountMax) return refuse(-EINVAL, "planes[%u].baseOffset: too large", i);
    if (given.layer_stride > byteCountMax) return refuse(-EINVAL, "planes[%u].layerStride: too large", i);
    if (given.block_stride > byteCountMax) return refuse(-EINVAL, "planes[%u].blockStride: too large", i);
    if (given.layer_count < 1 || given.layer_count > placeLayersMax)
      return refuse(-EINVAL, "planes[%u].layerCount: must be 1 to %" PRIu64, i, placeLayersMax);
    if (given.piece_bytes < 1 || given.piece_bytes > byteCountMax / placeLayersMax)
      return refuse(-EINVAL, "planes[%u].pieceBytes: must be 1 to %" PRIu64, i,
                    byteCountMax / placeLayersMax);
    place->planes[i] = {given.base_offset, given.layer_stride, given.block_stride, given.layer_count,
                        given.piece_bytes};
    place->payloadBytes += given.layer_count * given.piece_bytes;
  }
  place->planeCount = planeCount;
  *handle = places().add(std::move(place));
  return *handle == 0 ? refuse(-EMFILE, "places: too many are open") : 0;
}

int closePlace(uint32_t handle) {
  const std::shared_ptr<Place> place = places().take(handle);
  if (place == nullptr) return refuse(-EINVAL, "place: %u is not open", handle);
  place->closed = true;
  return 0;
}

int setPath(uint32_t handle, uint32_t path) {
  const std::shared_ptr<Place> place = places().find(handle);
  if (place == nullptr) return refuse(-EINVAL, "place: %u is not open", handle);
  if (path > TERRACE_PATH_KERNEL) return refuse(-EINVAL, "path: %u is unknown", path);
  place->path = path;
  return 0;
}

}  // namespace terrace
