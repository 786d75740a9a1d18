#pragma once

#include <cstddef>
#include <cstdint>

namespace terrace {

/** CRC-32C of `bytes`, or of what `previous` covered followed by `bytes`. The fastest way this CPU has. */
uint32_t crc32c(const void* bytes, size_t byteCount, uint32_t previous);
/** Name of the instructions in use. */
const char* crc32cKind();

/** Works on the inverted remainder, as the instructions do. */
using CrcFunction = uint32_t (*)(uint32_t remainder, const uint8_t* bytes, size_t byteCount);
struct CrcChoice {
  CrcFunction run;
  const char* kind;
};

/** x to the power of `exponent` modulo the polynomial, reflected: it moves a remainder forward. */
uint32_t crcPower(uint64_t exponent);
uint32_t crcMultiply(uint32_t left, uint32_t right);
uint32_t crcPortable(uint32_t remainder, const uint8_t* bytes, size_t byteCount);
/** What this CPU has beyond the portable form; `run` is null for nothing. `nth` 0 is the fastest one. */
CrcChoice crcOfThisCpu(int nth);

/** Pieces of equal length, copied and summed in one pass over the registers: what is summed is what is
 * stored, whoever writes to the source meanwhile. `pieceBytes` must be a multiple of `pieceUnitBytes`. With
 * `streaming` the stores go past the caches. Gives the remainder after all pieces. */
struct Pieces {
  uint8_t* target;
  const uint8_t* source;
  uint64_t targetStride;
  uint64_t sourceStride;
  uint64_t pieceBytes;
  uint64_t pieceCount;
  bool streaming;
};
using PiecesFunction = uint32_t (*)(uint32_t remainder, const Pieces& pieces);
constexpr uint64_t pieceUnitBytes = 256;
/** Null when this CPU has no instructions for it. */
PiecesFunction piecesOfThisCpu();

}  // namespace terrace
