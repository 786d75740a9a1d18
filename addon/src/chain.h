#pragma once

#include <cstddef>
#include <cstdint>

namespace terrace {

/** Bytes of one key. */
constexpr size_t keyBytes = 32;

/** Keys of all whole token blocks (tiers/block/key.ts says how they are made), one after the other; returns
 * their number. `into` must have room for them. */
size_t chain(const uint8_t* secret, size_t secretBytes, const uint32_t* tokens, size_t tokenCount,
             uint32_t blockTokens, uint8_t* into);

}  // namespace terrace
