#include "checksum.h"

#if defined(__aarch64__)

#include <arm_acle.h>
#include <sys/auxv.h>

#include <cstring>

namespace terrace {
namespace {

/** AT_HWCAP bit of the CRC instructions. */
constexpr unsigned long hasCrc32 = 1ul << 7;

#define CRC_ARM __attribute__((target("+crc")))

uint64_t wordAt(const uint8_t* bytes) {
  uint64_t word;
  memcpy(&word, bytes, 8);
  return word;
}

/** Bytes of one of the three streams that run side by side; many, because joining them takes long here. */
constexpr size_t streamBytes = 4096;

struct StreamFactors {
  uint32_t over1 = crcPower(streamBytes * 8);
  uint32_t over2 = crcPower(streamBytes * 16);
};
const StreamFactors& streamFactors() {
  static const StreamFactors factors;
  return factors;
}

CRC_ARM uint32_t crcArm(uint32_t remainder, const uint8_t* bytes, size_t byteCount) {
  if (byteCount >= streamBytes * 3) {
    const StreamFactors& factors = streamFactors();
    do {
      uint32_t first = remainder, second = 0, third = 0;
      for (size_t i = 0; i < streamBytes; i += 8) {
        first = __crc32cd(first, wordAt(bytes + i));
        second = __crc32cd(second, wordAt(bytes + streamBytes + i));
        third = __crc32cd(third, wordAt(bytes + streamBytes * 2 + i));
      }
      remainder = crcMultiply(first, factors.over2) ^ crcMultiply(second, factors.over1) ^ third;
      bytes += streamBytes * 3;
      byteCount -= streamBytes * 3;
    } while (byteCount >= streamBytes * 3);
  }
  for (; byteCount >= 8; byteCount -= 8, bytes += 8) remainder = __crc32cd(remainder, wordAt(bytes));
  for (; byteCount > 0; byteCount--) remainder = __crc32cb(remainder, *bytes++);
  return remainder;
}

}  // namespace

CrcChoice crcOfThisCpu(int nth) {
  if ((getauxval(AT_HWCAP) & hasCrc32) != 0 && nth == 0) return {crcArm, "armv8"};
  return {nullptr, nullptr};
}

}  // namespace terrace

#endif
