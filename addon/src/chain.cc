#include "chain.h"

#include "sha256.h"

namespace terrace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tokens are hashed as they lie in memory");

size_t chain(const uint8_t* secret, size_t secretBytes, const uint32_t* tokens, size_t tokenCount,
             uint32_t blockTokens, uint8_t* into) {
  const Hmac hmac(secret, secretBytes);
  const size_t blockCount = tokenCount / blockTokens;
  const uint8_t root[keyBytes] = {};
  const uint8_t* parent = root;
  for (size_t block = 0; block < blockCount; block++) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(tokens + block * blockTokens);
    hmac.sign(parent, keyBytes, bytes, size_t{blockTokens} * 4, into);
    parent = into;
    into += keyBytes;
  }
  return blockCount;
}

}  // namespace terrace
