#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "capi.h"
#include "handles.h"
#include "limits.h"

namespace terrace {

struct Plane {
  uint64_t baseOffset = 0;
  uint64_t layerStride = 0;
  uint64_t blockStride = 0;
  uint64_t layerCount = 0;
  uint64_t pieceBytes = 0;
};

/** Where the pieces of blocks lie in an engine's region: an affine map from (plane, layer, block) to an
 * offset. The payload of a block is its planes in order, each layer by layer. */
struct Place {
  Plane planes[placePlanesMax];
  uint32_t planeCount = 0;
  uint64_t payloadBytes = 0;
  std::atomic<bool> closed{false};
  /** One of terrace_path. */
  std::atomic<uint32_t> path{TERRACE_PATH_AUTO};

  /** Whether every piece of `block` lies inside a region of so many bytes. */
  bool fits(uint64_t block, uint64_t regionBytes) const;
  /** Where a piece starts in its region. */
  static uint64_t pieceAt(const Plane& plane, uint64_t layer, uint64_t block) {
    return plane.baseOffset + layer * plane.layerStride + block * plane.blockStride;
  }
};

using Places = Handles<Place, 2>;
Places& places();

int openPlace(const terrace_plane* planes, uint32_t planeCount, uint32_t* handle);
int closePlace(uint32_t handle);
int setPath(uint32_t handle, uint32_t path);

}  // namespace terrace
