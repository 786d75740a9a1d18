#pragma once

#include <cstddef>
#include <cstdint>

namespace terrace {

constexpr size_t shaChunkBytes = 64;
constexpr size_t shaDigestBytes = 32;

/** Runs whole chunks of 64 bytes through a state of eight words. */
using ShaFunction = void (*)(uint32_t* state, const uint8_t* chunks, size_t chunkCount);
struct ShaChoice {
  ShaFunction run;
  const char* kind;
};

extern const uint32_t shaRoundConstants[64];
void shaPortable(uint32_t* state, const uint8_t* chunks, size_t chunkCount);
/** What this CPU has beyond the portable form; `run` is null for nothing. */
ShaChoice shaOfThisCpu();
/** The form in use. */
const ShaChoice& shaChosen();

/** HMAC-SHA-256 under one secret. The padded key is compressed once: a code costs only its own bytes. */
class Hmac {
 public:
  Hmac(const uint8_t* secret, size_t secretBytes);
  /** The code of `first` followed by `second`, 32 bytes. */
  void sign(const uint8_t* first, size_t firstBytes, const uint8_t* second, size_t secondBytes,
            uint8_t* into) const;

 private:
  uint32_t inner_[8];
  uint32_t outer_[8];
};

}  // namespace terrace
