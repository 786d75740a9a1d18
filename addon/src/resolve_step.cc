#include <cerrno>
#include <cinttypes>
#include <cstring>

#include "problem.h"
#include "step.h"

namespace terrace {
namespace {

/** One step while it is checked: what is given, where it stands in its batch, what it becomes. */
struct Check {
  const terrace_step& given;
  uint32_t index;
  Step& step;

  int wrong(const char* field, const char* why) const {
    return refuse(-EINVAL, "steps[%u].%s: %s", index, field, why);
  }

  int region(const char* field, uint32_t handle, std::shared_ptr<Region>& into) const {
    into = regions().find(handle);
    return into == nullptr ? refuse(-EINVAL, "steps[%u].%s: region %u is not open", index, field, handle) : 0;
  }

  /** A slot of memory: with `paged`, one that direct I/O can use, up to the end of its last page. */
  int slot(const char* regionField, const char* field, uint32_t handle, const Region& region, uint64_t at,
           bool written, bool paged) const {
    if (!region.isMemory()) return wrong(regionField, "must be host memory");
    if (written && !region.writable) return wrong(regionField, "is open for reading only");
    if (paged && at % slotPageBytes != 0) return wrong(field, "must be a multiple of 4096");
    return inside(field, handle, region, at, paged ? pageRounded(given.byte_count) : given.byte_count);
  }

  int fileSlot(const char* regionField, const char* field, uint32_t handle, const Region& region,
               uint64_t at) const {
    if (region.kind != Region::Kind::file) return wrong(regionField, "must be a file");
    if (at % slotPageBytes != 0) return wrong(field, "must be a multiple of 4096");
    return inside(field, handle, region, at, slotPageBytes + pageRounded(given.byte_count));
  }

  int inside(const char* field, uint32_t handle, const Region& region, uint64_t at,
             uint64_t byteCount) const {
    if (at <= region.byteCount && byteCount <= region.byteCount - at) return 0;
    const bool startsInside = at < region.byteCount;
    return refuse(-EINVAL, "steps[%u].%s: outside region %u", index, startsInside ? "byteCount" : field,
                  handle);
  }

  int pieces(const char* regionField, const char* field, const Region& region, uint64_t block,
             bool written) const {
    if (!region.isMemory() && !region.isDevice()) return wrong(regionField, "must be memory, not a file");
    if (written && !region.writable) return wrong(regionField, "is open for reading only");
    step.place = places().find(given.place);
    if (step.place == nullptr)
      return refuse(-EINVAL, "steps[%u].place: place %u is not open", index, given.place);
    if (step.place->payloadBytes != given.byte_count)
      return refuse(-EINVAL, "steps[%u].byteCount: a block of place %u has %" PRIu64 " bytes, not %" PRIu64,
                    index, given.place, step.place->payloadBytes, given.byte_count);
    if (!step.place->fits(block, region.byteCount))
      return refuse(-EINVAL, "steps[%u].%s: block %" PRIu64 " reaches outside the region", index, field,
                    block);
    return region.isDevice() ? piecesInParts(field, region, block) : 0;
  }

  /** The driver copies only what lies in one allocation. */
  int piecesInParts(const char* field, const Region& region, uint64_t block) const {
    for (uint32_t p = 0; p < step.place->planeCount; p++) {
      const Plane& plane = step.place->planes[p];
      for (uint64_t layer = 0; layer < plane.layerCount; layer++)
        if (region.addressOf(Place::pieceAt(plane, layer, block), plane.pieceBytes) == 0)
          return refuse(-EINVAL, "steps[%u].%s: a piece of block %" PRIu64 " crosses two parts of the region",
                        index, field, block);
    }
    return 0;
  }

  /** The GPU's side of a gather or scatter has a slot at the other that nobody can take away meanwhile. */
  int slotOfDevice(const char* regionField) const {
    const bool isWithDevice = step.source->isDevice() || step.target->isDevice();
    const Region& slotRegion = given.operation == TERRACE_GATHER ? *step.target : *step.source;
    return isWithDevice && slotRegion.fragile
               ? wrong(regionField, "can be shortened by its owner, GPUs do not copy to it")
               : 0;
  }
};

int resolveSource(const Check& check) {
  const terrace_step& given = check.given;
  Step& step = check.step;
  if (given.operation == TERRACE_FLUSH || given.operation == TERRACE_PIN) return 0;
  if (const int failed = check.region("sourceRegion", given.source_region, step.source)) return failed;
  switch (given.operation) {
    case TERRACE_GATHER:
      return check.pieces("sourceRegion", "source", *step.source, given.source, false);
    case TERRACE_READ:
      return check.fileSlot("sourceRegion", "source", given.source_region, *step.source, given.source);
    default: {
      // A write zeroes the rest of the slot's last page: it needs the room, and the right to.
      const bool paged = given.operation == TERRACE_WRITE;
      return check.slot("sourceRegion", "source", given.source_region, *step.source, given.source, paged,
                        paged);
    }
  }
}

int resolveTarget(const Check& check) {
  const terrace_step& given = check.given;
  Step& step = check.step;
  if (given.operation == TERRACE_SUM) return 0;
  if (const int failed = check.region("targetRegion", given.target_region, step.target)) return failed;
  switch (given.operation) {
    case TERRACE_SCATTER:
      if (const int failed = check.slotOfDevice("sourceRegion")) return failed;
      return check.pieces("targetRegion", "target", *step.target, given.target, true);
    case TERRACE_GATHER:
      if (const int failed = check.slotOfDevice("targetRegion")) return failed;
      return check.slot("targetRegion", "target", given.target_region, *step.target, given.target, true, false);
    case TERRACE_PIN:
      // Page-locking is of whole pages; a slot in a pinned range must not share one with what is not.
      if (given.byte_count % slotPageBytes != 0) return check.wrong("byteCount", "must be a multiple of 4096");
      if (step.target->fragile) return check.wrong("targetRegion", "can be shortened by its owner");
      return check.slot("targetRegion", "target", given.target_region, *step.target, given.target, true, true);
    case TERRACE_WRITE:
      if (given.has_seal == 0) return check.wrong("seal", "a write needs the header");
      return check.fileSlot("targetRegion", "target", given.target_region, *step.target, given.target);
    case TERRACE_FLUSH:
      return step.target->kind == Region::Kind::file ? 0 : check.wrong("targetRegion", "must be a file");
    default: {
      const bool paged = given.operation == TERRACE_READ;
      if (const int failed = check.slot("targetRegion", "target", given.target_region, *step.target,
                                        given.target, true, paged))
        return failed;
      const bool overlap = given.operation == TERRACE_COPY && step.source == step.target &&
                           given.source < given.target + given.byte_count &&
                           given.target < given.source + given.byte_count;
      return overlap ? check.wrong("target", "overlaps the source") : 0;
    }
  }
}

}  // namespace

int resolveStep(const terrace_step& given, uint32_t index, Step& into) {
  const Check check{given, index, into};
  if (given.size != sizeof given)
    return refuse(-EINVAL, "steps[%u].size: unknown size %u", index, given.size);
  if (given.operation < TERRACE_GATHER || given.operation > TERRACE_PIN)
    return check.wrong("operation", "must be one of operations");
  if (given.source > byteCountMax) return check.wrong("source", "too large");
  if (given.target > byteCountMax) return check.wrong("target", "too large");
  if (given.byte_count > byteCountMax) return check.wrong("byteCount", "too large");
  if (given.byte_count == 0 && given.operation != TERRACE_FLUSH)
    return check.wrong("byteCount", "must be 1 or more");
  if (given.checksum < -1 || given.checksum > int64_t{UINT32_MAX})
    return check.wrong("checksum", "must be -1 or a number of 32 bits");
  into.operation = given.operation;
  into.ticket = given.ticket;
  into.cookie = given.cookie;
  into.sourceAt = given.source;
  into.targetAt = given.target;
  into.byteCount = given.byte_count;
  into.checksum = given.checksum;
  into.hasSeal = given.has_seal != 0;
  into.release();
  if (const int failed = resolveSource(check)) return failed;
  if (const int failed = resolveTarget(check)) return failed;
  if (given.operation == TERRACE_WRITE) memcpy(into.seal, given.seal, sealBytes);
  return 0;
}

}  // namespace terrace
