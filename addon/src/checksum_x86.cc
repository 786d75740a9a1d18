#include "checksum.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

namespace terrace {
namespace {

#define CRC_SSE42 __attribute__((target("sse4.2,pclmul")))
#define CRC_AVX512 __attribute__((target("avx512f,avx512vl,vpclmulqdq,pclmul,sse4.2")))

uint64_t wordAt(const uint8_t* bytes) {
  uint64_t word;
  memcpy(&word, bytes, 8);
  return word;
}

/** Bytes of one of the three streams that run side by side: the instruction gives a result every cycle, but each
 *  takes three. */
constexpr size_t streamBytes = 1024;

/** Factors that move a remainder over one and two streams. The product of two reflected numbers, fed to the CRC
 *  instruction, gains x^33: the exponents are smaller by that. */
struct StreamFactors {
  uint32_t over1 = crcPower(streamBytes * 8 - 33);
  uint32_t over2 = crcPower(streamBytes * 16 - 33);
};
const StreamFactors& streamFactors() {
  static const StreamFactors factors;
  return factors;
}

CRC_SSE42 uint32_t moved(uint32_t remainder, uint32_t factor) {
  const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128(static_cast<int>(remainder)),
                                               _mm_cvtsi32_si128(static_cast<int>(factor)), 0);
  return static_cast<uint32_t>(_mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(product))));
}

CRC_SSE42 uint32_t crcSse42(uint32_t remainder, const uint8_t* bytes, size_t byteCount) {
  if (byteCount >= streamBytes * 3) {
    const StreamFactors& factors = streamFactors();
    do {
      uint64_t first = remainder, second = 0, third = 0;
      for (size_t i = 0; i < streamBytes; i += 8) {
        first = _mm_crc32_u64(first, wordAt(bytes + i));
        second = _mm_crc32_u64(second, wordAt(bytes + streamBytes + i));
        third = _mm_crc32_u64(third, wordAt(bytes + streamBytes * 2 + i));
      }
      remainder = moved(static_cast<uint32_t>(first), factors.over2) ^
                  moved(static_cast<uint32_t>(second), factors.over1) ^ static_cast<uint32_t>(third);
      bytes += streamBytes * 3;
      byteCount -= streamBytes * 3;
    } while (byteCount >= streamBytes * 3);
  }
  uint64_t wide = remainder;
  for (; byteCount >= 8; byteCount -= 8, bytes += 8) wide = _mm_crc32_u64(wide, wordAt(bytes));
  remainder = static_cast<uint32_t>(wide);
  for (; byteCount > 0; byteCount--) remainder = _mm_crc32_u8(remainder, *bytes++);
  return remainder;
}

/** Factors of a fold over `distance` bits: for the low and the high 64 bits of each 128-bit lane. A product of
 *  reflected 64-bit numbers gains one power of x. */
struct FoldFactors {
  uint64_t low, high;
  explicit FoldFactors(uint64_t distance)
      : low(uint64_t{crcPower(distance + 63)} << 32), high(uint64_t{crcPower(distance - 1)} << 32) {}
};
struct FoldTable {
  FoldFactors by2048{2048}, by1536{1536}, by1024{1024}, by512{512};
};
const FoldTable& foldTable() {
  static const FoldTable table;
  return table;
}

CRC_AVX512 inline __m512i factorLanes(const FoldFactors& factors) {
  const auto low = static_cast<int64_t>(factors.low), high = static_cast<int64_t>(factors.high);
  return _mm512_set4_epi64(high, low, high, low);
}

CRC_AVX512 inline __m512i folded(__m512i lanes, __m512i factors, __m512i onto) {
  const __m512i low = _mm512_clmulepi64_epi128(lanes, factors, 0x00);
  const __m512i high = _mm512_clmulepi64_epi128(lanes, factors, 0x11);
  return _mm512_ternarylogic_epi64(low, high, onto, 0x96);
}

/** Folds 256 bytes per turn in four 512-bit registers, then lets the CRC instruction reduce the last 64. */
CRC_AVX512 uint32_t crcAvx512(uint32_t remainder, const uint8_t* bytes, size_t byteCount) {
  if (byteCount < 512) return crcSse42(remainder, bytes, byteCount);
  const FoldTable& table = foldTable();
  __m512i a = _mm512_loadu_si512(bytes), b = _mm512_loadu_si512(bytes + 64);
  __m512i c = _mm512_loadu_si512(bytes + 128), d = _mm512_loadu_si512(bytes + 192);
  a = _mm512_xor_si512(a, _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(remainder))));
  const __m512i far = factorLanes(table.by2048);
  for (bytes += 256, byteCount -= 256; byteCount >= 256; bytes += 256, byteCount -= 256) {
    a = folded(a, far, _mm512_loadu_si512(bytes));
    b = folded(b, far, _mm512_loadu_si512(bytes + 64));
    c = folded(c, far, _mm512_loadu_si512(bytes + 128));
    d = folded(d, far, _mm512_loadu_si512(bytes + 192));
  }
  d = folded(a, factorLanes(table.by1536), d);
  d = folded(b, factorLanes(table.by1024), d);
  d = folded(c, factorLanes(table.by512), d);
  alignas(64) uint8_t rest[64];
  _mm512_store_si512(rest, d);
  uint64_t wide = 0;
  for (int i = 0; i < 64; i += 8) wide = _mm_crc32_u64(wide, wordAt(rest + i));
  return crcSse42(static_cast<uint32_t>(wide), bytes, byteCount);
}

}  // namespace

CrcChoice crcOfThisCpu(int nth) {
  __builtin_cpu_init();
  const bool sse42 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
  const bool avx512 = sse42 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("vpclmulqdq");
  if (avx512 && nth-- == 0) return {crcAvx512, "avx512+vpclmulqdq"};
  if (sse42 && nth-- == 0) return {crcSse42, "sse4.2"};
  return {nullptr, nullptr};
}

}  // namespace terrace

#endif
