/** Compares every way this CPU has to sum and to hash with the portable one. Prints their names. */
#include <cstdio>
#include <cstring>
#include <vector>

#include "checksum.h"
#include "sha256.h"

using namespace terrace;

namespace {

int compareSums(const char* kind, CrcFunction run, const std::vector<uint8_t>& bytes) {
  int different = 0;
  for (size_t length = 0; length < 9000; length += length < 1100 ? 1 : 37)
    for (size_t start : {size_t{0}, size_t{1}, size_t{5}, length % 64})
      different += run(0x12345678, bytes.data() + start, length) !=
                   crcPortable(0x12345678, bytes.data() + start, length);
  for (size_t length : {size_t{12288}, size_t{16384}, size_t{24577}, size_t{65536}, bytes.size() - 3})
    different += run(7, bytes.data() + 3, length) != crcPortable(7, bytes.data() + 3, length);
  std::printf("%s\n", kind);
  if (different > 0) std::fprintf(stderr, "%s: %d sums differ\n", kind, different);
  return different;
}

int compareHashes(const std::vector<uint8_t>& bytes) {
  int different = 0;
  for (size_t count = 1; count < 40; count++) {
    uint32_t wanted[8] = {1, 2, 3, 4, 5, 6, 7, 8}, found[8];
    std::memcpy(found, wanted, sizeof found);
    shaPortable(wanted, bytes.data() + count, count);
    shaChosen().run(found, bytes.data() + count, count);
    different += std::memcmp(wanted, found, sizeof found) != 0;
  }
  std::printf("%s\n", shaChosen().kind);
  if (different > 0) std::fprintf(stderr, "%s: %d hashes differ\n", shaChosen().kind, different);
  return different;
}

}  // namespace

int main() {
  std::vector<uint8_t> bytes(100000);
  uint32_t state = 1;
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>((state = state * 1664525 + 1013904223) >> 24);
  int different = compareHashes(bytes);
  for (int nth = 0; crcOfThisCpu(nth).run != nullptr; nth++)
    different += compareSums(crcOfThisCpu(nth).kind, crcOfThisCpu(nth).run, bytes);
  return different > 0;
}
