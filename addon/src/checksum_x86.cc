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

/** Bytes of one of three streams side by side: the instruction can start every cycle, but takes three. */
constexpr size_t streamBytes = 1024;

/** Factors that move a remainder over one and two streams. The product of two reflected numbers, fed to the
 * CRC instruction, gains x^33: the exponents are smaller by that. */
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

/** Factors of a fold over `distance` bits: for the low and the high 64 bits of each 128-bit lane. A product
 * of reflected 64-bit numbers gains one power of x. */
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

/** Four 512-bit remainders, each of every fourth 64 bytes, joined and reduced by the CRC instruction. */
CRC_AVX512 inline uint32_t reduced(__m512i a, __m512i b, __m512i c, __m512i d) {
  const FoldTable& table = foldTable();
  d = folded(a, factorLanes(table.by1536), d);
  d = folded(b, factorLanes(table.by1024), d);
  d = folded(c, factorLanes(table.by512), d);
  alignas(64) uint8_t rest[64];
  _mm512_store_si512(rest, d);
  uint64_t wide = 0;
  for (int i = 0; i < 64; i += 8) wide = _mm_crc32_u64(wide, wordAt(rest + i));
  return static_cast<uint32_t>(wide);
}

CRC_AVX512 inline __m512i startLanes(uint32_t remainder) {
  return _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(remainder)));
}

/** Folds 256 bytes per turn. */
CRC_AVX512 uint32_t crcAvx512(uint32_t remainder, const uint8_t* bytes, size_t byteCount) {
  if (byteCount < 512) return crcSse42(remainder, bytes, byteCount);
  __m512i a = _mm512_xor_si512(_mm512_loadu_si512(bytes), startLanes(remainder));
  __m512i b = _mm512_loadu_si512(bytes + 64);
  __m512i c = _mm512_loadu_si512(bytes + 128), d = _mm512_loadu_si512(bytes + 192);
  const __m512i far = factorLanes(foldTable().by2048);
  for (bytes += 256, byteCount -= 256; byteCount >= 256; bytes += 256, byteCount -= 256) {
    a = folded(a, far, _mm512_loadu_si512(bytes));
    b = folded(b, far, _mm512_loadu_si512(bytes + 64));
    c = folded(c, far, _mm512_loadu_si512(bytes + 128));
    d = folded(d, far, _mm512_loadu_si512(bytes + 192));
  }
  return crcSse42(reduced(a, b, c, d), bytes, byteCount);
}

template <bool streaming>
CRC_AVX512 inline __m512i copied(uint8_t* target, const uint8_t* source) {
  const __m512i bytes = _mm512_loadu_si512(source);
  if (streaming)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(target), bytes);
  else
    _mm512_storeu_si512(target, bytes);
  return bytes;
}

/** The remainders stay in their registers from piece to piece. */
template <bool streaming>
CRC_AVX512 uint32_t piecesAvx512(uint32_t remainder, const Pieces& pieces) {
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  __m512i start = startLanes(remainder);
  const __m512i far = factorLanes(foldTable().by2048);
  uint8_t* target = pieces.target;
  const uint8_t* source = pieces.source;
  for (uint64_t piece = 0; piece < pieces.pieceCount; piece++) {
    for (uint64_t at = 0; at < pieces.pieceBytes; at += pieceUnitBytes) {
      a = folded(a, far, _mm512_xor_si512(copied<streaming>(target + at, source + at), start));
      b = folded(b, far, copied<streaming>(target + at + 64, source + at + 64));
      c = folded(c, far, copied<streaming>(target + at + 128, source + at + 128));
      d = folded(d, far, copied<streaming>(target + at + 192, source + at + 192));
      start = _mm512_setzero_si512();
    }
    target += pieces.targetStride;
    source += pieces.sourceStride;
  }
  if (streaming) _mm_sfence();
  return reduced(a, b, c, d);
}

uint32_t piecesChosen(uint32_t remainder, const Pieces& pieces) {
  const bool aligned = (reinterpret_cast<uintptr_t>(pieces.target) | pieces.targetStride) % 64 == 0;
  return pieces.streaming && aligned ? piecesAvx512<true>(remainder, pieces)
                                     : piecesAvx512<false>(remainder, pieces);
}

bool hasAvx512() {
  return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") &&
         __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("vpclmulqdq");
}

}  // namespace

CrcChoice crcOfThisCpu(int nth) {
  __builtin_cpu_init();
  const bool sse42 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
  if (hasAvx512() && nth-- == 0) return {crcAvx512, "avx512+vpclmulqdq"};
  if (sse42 && nth-- == 0) return {crcSse42, "sse4.2"};
  return {nullptr, nullptr};
}

PiecesFunction piecesOfThisCpu() {
  __builtin_cpu_init();
  return hasAvx512() ? piecesChosen : nullptr;
}

}  // namespace terrace

#endif
