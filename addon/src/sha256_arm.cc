#include "sha256.h"

#if defined(__aarch64__)

#include <sys/auxv.h>

#pragma GCC push_options
#pragma GCC target("+crypto")
#include <arm_neon.h>

namespace terrace {
namespace {

/** AT_HWCAP bit of the SHA-2 instructions. */
constexpr unsigned long hasSha2 = 1ul << 6;

void shaArm(uint32_t* state, const uint8_t* chunks, size_t chunkCount) {
  uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
  for (; chunkCount > 0; chunkCount--, chunks += shaChunkBytes) {
    const uint32x4_t abcdBefore = abcd, efghBefore = efgh;
    uint32x4_t w[4];
    for (int i = 0; i < 4; i++) w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(chunks + i * 16)));
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      const uint32x4_t sum = vaddq_u32(w[i & 3], vld1q_u32(shaRoundConstants + i * 4));
      const uint32x4_t abcdNow = abcd;
      abcd = vsha256hq_u32(abcd, efgh, sum);
      efgh = vsha256h2q_u32(efgh, abcdNow, sum);
      if (i < 12)
        w[i & 3] = vsha256su1q_u32(vsha256su0q_u32(w[i & 3], w[(i + 1) & 3]), w[(i + 2) & 3], w[(i + 3) & 3]);
    }
    abcd = vaddq_u32(abcd, abcdBefore);
    efgh = vaddq_u32(efgh, efghBefore);
  }
  vst1q_u32(state, abcd);
  vst1q_u32(state + 4, efgh);
}

}  // namespace

ShaChoice shaOfThisCpu() {
  if ((getauxval(AT_HWCAP) & hasSha2) != 0) return {shaArm, "armv8"};
  return {nullptr, nullptr};
}

}  // namespace terrace

#pragma GCC pop_options

#endif
