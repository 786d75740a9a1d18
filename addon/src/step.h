#pragma once

#include <cstdint>
#include <memory>

#include "capi.h"
#include "places.h"
#include "regions.h"

namespace terrace {

/** A step whose handles were resolved and whose bounds were checked: from here on nothing can reach outside
 * its regions, and what it names stays alive until it is done. */
struct Step {
  uint32_t operation = 0;
  bool hasSeal = false;
  uint64_t ticket = 0;
  uint64_t cookie = 0;
  std::shared_ptr<Region> source;
  std::shared_ptr<Region> target;
  std::shared_ptr<Place> place;
  uint64_t sourceAt = 0;
  uint64_t targetAt = 0;
  uint64_t byteCount = 0;
  int64_t checksum = -1;
  uint8_t seal[sealBytes];

  /** Lets go of what it names. */
  void release() {
    source = nullptr;
    target = nullptr;
    place = nullptr;
  }
};

/** Checks the step at `index` of a batch. 0, or -EINVAL with the path of the wrong field as the problem. */
int resolveStep(const terrace_step& given, uint32_t index, Step& into);

/** Carries a step out, on a worker thread whose aligned page is `page`. */
void performStep(const Step& step, uint8_t* page, terrace_completion& into);

}  // namespace terrace
