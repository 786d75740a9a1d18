#include "sha256.h"

#include <cstring>

namespace terrace {

alignas(16) const uint32_t shaRoundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

namespace {

constexpr uint32_t initialState[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

uint32_t rotated(uint32_t word, int by) { return word >> by | word << (32 - by); }

ShaChoice choose() {
  const ShaChoice best = shaOfThisCpu();
  return best.run != nullptr ? best : ShaChoice{shaPortable, "portable"};
}

/** A message that comes in parts, continued from a state that has already taken `takenBytes`. */
class Message {
 public:
  Message(uint32_t* state, uint64_t takenBytes) : state_(state), byteCount_(takenBytes) {}

  void add(const uint8_t* bytes, size_t byteCount) {
    byteCount_ += byteCount;
    if (held_ > 0) {
      const size_t fitting = byteCount < shaChunkBytes - held_ ? byteCount : shaChunkBytes - held_;
      memcpy(chunk_ + held_, bytes, fitting);
      held_ += fitting;
      bytes += fitting;
      byteCount -= fitting;
      if (held_ < shaChunkBytes) return;
      shaChosen().run(state_, chunk_, 1);
      held_ = 0;
    }
    const size_t whole = byteCount / shaChunkBytes;
    if (whole > 0) shaChosen().run(state_, bytes, whole);
    held_ = byteCount - whole * shaChunkBytes;
    memcpy(chunk_, bytes + whole * shaChunkBytes, held_);
  }

  void end(uint8_t* into) {
    const uint64_t bitCount = byteCount_ * 8;
    chunk_[held_++] = 0x80;
    if (held_ > shaChunkBytes - 8) {
      memset(chunk_ + held_, 0, shaChunkBytes - held_);
      shaChosen().run(state_, chunk_, 1);
      held_ = 0;
    }
    memset(chunk_ + held_, 0, shaChunkBytes - 8 - held_);
    for (size_t i = 0; i < 8; i++) chunk_[shaChunkBytes - 1 - i] = static_cast<uint8_t>(bitCount >> 8 * i);
    shaChosen().run(state_, chunk_, 1);
    for (size_t i = 0; i < 8; i++)
      for (size_t k = 0; k < 4; k++) into[i * 4 + k] = static_cast<uint8_t>(state_[i] >> (24 - 8 * k));
  }

 private:
  uint32_t* state_;
  uint64_t byteCount_;
  size_t held_ = 0;
  uint8_t chunk_[shaChunkBytes];
};

}  // namespace

void shaPortable(uint32_t* state, const uint8_t* chunks, size_t chunkCount) {
  for (; chunkCount > 0; chunkCount--, chunks += shaChunkBytes) {
    uint32_t w[64];
    for (int i = 0; i < 16; i++) {
      const uint8_t* at = chunks + i * 4;
      w[i] = uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | at[3];
    }
    for (int i = 16; i < 64; i++) {
      const uint32_t s0 = rotated(w[i - 15], 7) ^ rotated(w[i - 15], 18) ^ w[i - 15] >> 3;
      const uint32_t s1 = rotated(w[i - 2], 17) ^ rotated(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t v[8];
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 64; i++) {
      const uint32_t s1 = rotated(v[4], 6) ^ rotated(v[4], 11) ^ rotated(v[4], 25);
      const uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + shaRoundConstants[i] + w[i];
      const uint32_t s0 = rotated(v[0], 2) ^ rotated(v[0], 13) ^ rotated(v[0], 22);
      const uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
      memmove(v + 1, v, 7 * sizeof v[0]);
      v[4] += t1;
      v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) state[i] += v[i];
  }
}

const ShaChoice& shaChosen() {
  static const ShaChoice choice = choose();
  return choice;
}

Hmac::Hmac(const uint8_t* secret, size_t secretBytes) {
  uint8_t padded[shaChunkBytes] = {};
  if (secretBytes > shaChunkBytes) {
    uint32_t state[8];
    memcpy(state, initialState, sizeof state);
    Message message(state, 0);
    message.add(secret, secretBytes);
    message.end(padded);
  } else if (secretBytes > 0) {
    memcpy(padded, secret, secretBytes);
  }
  for (uint8_t& byte : padded) byte ^= 0x36;
  memcpy(inner_, initialState, sizeof inner_);
  shaChosen().run(inner_, padded, 1);
  for (uint8_t& byte : padded) byte ^= 0x36 ^ 0x5c;
  memcpy(outer_, initialState, sizeof outer_);
  shaChosen().run(outer_, padded, 1);
}

void Hmac::sign(const uint8_t* first, size_t firstBytes, const uint8_t* second, size_t secondBytes,
                uint8_t* into) const {
  uint32_t state[8];
  uint8_t middle[shaDigestBytes];
  memcpy(state, inner_, sizeof state);
  Message inner(state, shaChunkBytes);
  inner.add(first, firstBytes);
  inner.add(second, secondBytes);
  inner.end(middle);
  memcpy(state, outer_, sizeof state);
  Message outer(state, shaChunkBytes);
  outer.add(middle, sizeof middle);
  outer.end(into);
}

#if !defined(__x86_64__) && !defined(__aarch64__)
ShaChoice shaOfThisCpu() { return {nullptr, nullptr}; }
#endif

}  // namespace terrace
