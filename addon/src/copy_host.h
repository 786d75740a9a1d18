#pragma once

#include <cstdint>

#include "places.h"

namespace terrace {

/** Copies between mapped memory. Each returns the CRC-32C of the payload as it lies in the slot, taken in the
 * same pass: of the registers that are stored, or of the slot's own bytes while they are in the first-level
 * cache. An engine that writes meanwhile can damage its own block, but not make the sum of a slot wrong. */

/** Pieces of `block` at `place` -> slot. */
uint32_t gather(const uint8_t* region, const Place& place, uint64_t block, uint8_t* slot);
/** Slot -> pieces of `block` at `place`. */
uint32_t scatter(const uint8_t* slot, const Place& place, uint64_t block, uint8_t* region);
/** Slot -> slot. */
uint32_t copySummed(const uint8_t* source, uint8_t* target, uint64_t byteCount);

}  // namespace terrace
