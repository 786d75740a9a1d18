#include <cerrno>
#include <cstring>

#include "bus_guard.h"
#include "checksum.h"
#include "copy_device.h"
#include "copy_host.h"
#include "file.h"
#include "pin.h"
#include "step.h"

namespace terrace {
namespace {

/** A step in progress. Owns nothing: a lost page may leave it in the middle. */
struct Work {
  const Step& step;
  uint8_t* page;
  int status;
  uint64_t byteCount;
  uint32_t checksum;
};

uint8_t* slotOf(const std::shared_ptr<Region>& region, uint64_t at) { return region->base + at; }

void writeFile(Work& work) {
  const Step& step = work.step;
  const FileMove moved = writeSlot(*step.target, step.targetAt, slotOf(step.source, step.sourceAt),
                                   step.byteCount, step.seal, work.page);
  work.status = moved.status;
  work.byteCount = moved.byteCount;
}

void readFile(Work& work) {
  const Step& step = work.step;
  uint8_t* const slot = slotOf(step.target, step.targetAt);
  const FileMove moved = readSlot(*step.source, step.sourceAt, slot, step.byteCount, work.page);
  work.status = moved.status;
  work.byteCount = moved.byteCount;
  if (moved.status == TERRACE_OK) work.checksum = crc32c(slot, step.byteCount, 0);
}

void copyMemory(Work& work) {
  const Step& step = work.step;
  switch (step.operation) {
    case TERRACE_GATHER:
      work.checksum =
          gather(step.source->base, *step.place, step.sourceAt, slotOf(step.target, step.targetAt));
      break;
    case TERRACE_SCATTER:
      work.checksum =
          scatter(slotOf(step.source, step.sourceAt), *step.place, step.targetAt, step.target->base);
      break;
    case TERRACE_COPY:
      work.checksum =
          copySummed(slotOf(step.source, step.sourceAt), slotOf(step.target, step.targetAt), step.byteCount);
      break;
    default:
      work.checksum = crc32c(slotOf(step.source, step.sourceAt), step.byteCount, 0);
      break;
  }
  work.status = TERRACE_OK;
  work.byteCount = step.byteCount;
}

bool isWithDevice(const Step& step) {
  return (step.source != nullptr && step.source->isDevice()) ||
         (step.target != nullptr && step.target->isDevice());
}

void copyDevice(Work& work) {
  const bool isGather = work.step.operation == TERRACE_GATHER;
  work.status = isGather ? gatherDevice(work.step, work.checksum) : scatterDevice(work.step, work.checksum);
  if (work.status == TERRACE_OK) work.byteCount = work.step.byteCount;
}

void carryOut(void* context) {
  Work& work = *static_cast<Work*>(context);
  if (isWithDevice(work.step)) return copyDevice(work);
  switch (work.step.operation) {
    case TERRACE_WRITE:
      return writeFile(work);
    case TERRACE_READ:
      return readFile(work);
    case TERRACE_FLUSH:
      work.status = flushFile(*work.step.target);
      return;
    case TERRACE_PIN:
      work.status = pinRange(work.step);
      if (work.status == TERRACE_OK) work.byteCount = work.step.byteCount;
      return;
    default:
      return copyMemory(work);
  }
}

FragileSpan fragileSpanOf(const std::shared_ptr<Region>& region) {
  if (region == nullptr || !region->isMemory()) return {nullptr, 0};
  return {region->base, region->mappedBytes};
}

bool isClosed(const Step& step) {
  return (step.source != nullptr && step.source->closed) || (step.target != nullptr && step.target->closed) ||
         (step.place != nullptr && step.place->closed);
}

}  // namespace

void performStep(const Step& step, uint8_t* page, terrace_completion& into) {
  Work work{step, page, TERRACE_CLOSED, 0, 0};
  if (!isClosed(step)) {
    const FragileSpan spans[2] = {fragileSpanOf(step.source), fragileSpanOf(step.target)};
    // What calls the GPU's driver is never under the guard: its jump would leave the driver's locks held. Host
    // memory of such steps cannot be shortened (resolve_step.cc).
    if (isWithDevice(step) || step.operation == TERRACE_PIN) {
      carryOut(&work);
    } else if (const int lost = guardedRun(spans, carryOut, &work)) {
      work.status = lost;
      work.byteCount = 0;
    }
    if (work.status == TERRACE_OK && step.checksum >= 0 && step.checksum != int64_t{work.checksum} &&
        step.operation != TERRACE_WRITE && step.operation != TERRACE_FLUSH && step.operation != TERRACE_PIN)
      work.status = TERRACE_CHECKSUM;
  }
  into.status = work.status;
  into.byte_count = work.byteCount;
  into.checksum = work.checksum;
  into.has_seal = 0;
  const bool headerFound = step.operation == TERRACE_READ && step.hasSeal &&
                           (work.status == TERRACE_OK || work.status == TERRACE_CHECKSUM);
  if (headerFound) {
    memcpy(into.seal, page, sealBytes);
    into.has_seal = 1;
  }
}

}  // namespace terrace
