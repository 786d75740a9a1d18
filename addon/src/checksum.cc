#include "checksum.h"

#include <cstring>

namespace terrace {
namespace {

constexpr uint32_t polynomial = 0x82f63b78;

/** Tables of the portable form: row k is the remainder of a byte followed by k zero bytes. */
struct Tables {
  uint32_t rows[8][256];
  constexpr Tables() : rows() {
    for (uint32_t byte = 0; byte < 256; byte++) {
      uint32_t remainder = byte;
      for (int bit = 0; bit < 8; bit++) remainder = remainder >> 1 ^ (remainder & 1 ? polynomial : 0);
      rows[0][byte] = remainder;
    }
    for (uint32_t byte = 0; byte < 256; byte++)
      for (int k = 1; k < 8; k++) rows[k][byte] = rows[k - 1][byte] >> 8 ^ rows[0][rows[k - 1][byte] & 255];
  }
};
constexpr Tables tables;

CrcChoice choose() {
  const CrcChoice best = crcOfThisCpu(0);
  return best.run != nullptr ? best : CrcChoice{crcPortable, "portable"};
}

const CrcChoice& chosen() {
  static const CrcChoice choice = choose();
  return choice;
}

}  // namespace

uint32_t crcPortable(uint32_t remainder, const uint8_t* bytes, size_t byteCount) {
  const auto& rows = tables.rows;
  for (; byteCount >= 8; byteCount -= 8, bytes += 8) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    word ^= remainder;
    remainder = rows[7][word & 255] ^ rows[6][word >> 8 & 255] ^ rows[5][word >> 16 & 255] ^
                rows[4][word >> 24 & 255] ^ rows[3][word >> 32 & 255] ^ rows[2][word >> 40 & 255] ^
                rows[1][word >> 48 & 255] ^ rows[0][word >> 56];
  }
  for (; byteCount > 0; byteCount--) remainder = remainder >> 8 ^ rows[0][(remainder ^ *bytes++) & 255];
  return remainder;
}

uint32_t crcMultiply(uint32_t left, uint32_t right) {
  // Reflected: bit 31 is the power 0, so one shift to the right is a multiplication by x.
  uint32_t product = 0;
  for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    if (left & bit) product ^= right;
    right = right >> 1 ^ (right & 1 ? polynomial : 0);
  }
  return product;
}

uint32_t crcPower(uint64_t exponent) {
  uint32_t power = 1u << 31;
  uint32_t square = 1u << 30;
  for (; exponent != 0; exponent >>= 1) {
    if (exponent & 1) power = crcMultiply(power, square);
    square = crcMultiply(square, square);
  }
  return power;
}

uint32_t crc32c(const void* bytes, size_t byteCount, uint32_t previous) {
  return ~chosen().run(~previous, static_cast<const uint8_t*>(bytes), byteCount);
}

const char* crc32cKind() { return chosen().kind; }

#if !defined(__x86_64__) && !defined(__aarch64__)
CrcChoice crcOfThisCpu(int) { return {nullptr, nullptr}; }
#endif
#if !defined(__x86_64__)
PiecesFunction piecesOfThisCpu() { return nullptr; }
#endif

}  // namespace terrace
