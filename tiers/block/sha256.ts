/** SHA-256 and HMAC-SHA-256 without a platform: the router, the bench and the simulator name blocks without
 *  loading the addon. The addon computes the same chain faster; both are held to the same golden vectors. */

const roundConstants = new Uint32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
  0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
  0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
  0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
  0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
  0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
  0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
  0xc67178f2,
])
const initialState = new Uint32Array([
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
])
const chunkByteCount = 64
const digestByteCount = 32
const schedule = new Uint32Array(64)

function compress(state: Uint32Array, bytes: Uint8Array, offset: number): void {
  const w = schedule
  for (let i = 0; i < 16; i++) {
    const at = offset + i * 4
    w[i] =
      (at4(bytes, at) << 24) | (at4(bytes, at + 1) << 16) | (at4(bytes, at + 2) << 8) | at4(bytes, at + 3)
  }
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15] as number
    const y = w[i - 2] as number
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
    w[i] = ((w[i - 16] as number) + s0 + (w[i - 7] as number) + s1) | 0
  }
  let a = state[0] as number
  let b = state[1] as number
  let c = state[2] as number
  let d = state[3] as number
  let e = state[4] as number
  let f = state[5] as number
  let g = state[6] as number
  let h = state[7] as number
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + (roundConstants[i] as number) + (w[i] as number)) | 0
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  state[0] = ((state[0] as number) + a) | 0
  state[1] = ((state[1] as number) + b) | 0
  state[2] = ((state[2] as number) + c) | 0
  state[3] = ((state[3] as number) + d) | 0
  state[4] = ((state[4] as number) + e) | 0
  state[5] = ((state[5] as number) + f) | 0
  state[6] = ((state[6] as number) + g) | 0
  state[7] = ((state[7] as number) + h) | 0
}

function at4(bytes: Uint8Array, offset: number): number {
  return bytes[offset] as number
}

/** Runs the rest of a message through a state that has already taken `takenByteCount` bytes. */
function finish(state: Uint32Array, message: Uint8Array, takenByteCount: number, into: Uint8Array): void {
  let offset = 0
  for (; offset + chunkByteCount <= message.length; offset += chunkByteCount) compress(state, message, offset)
  const rest = message.length - offset
  const tail = new Uint8Array(rest + 9 <= chunkByteCount ? chunkByteCount : 2 * chunkByteCount)
  tail.set(message.subarray(offset))
  tail[rest] = 0x80
  const bitCount = (takenByteCount + message.length) * 8
  const view = new DataView(tail.buffer)
  view.setUint32(tail.length - 8, Math.floor(bitCount / 2 ** 32))
  view.setUint32(tail.length - 4, bitCount >>> 0)
  for (let at = 0; at < tail.length; at += chunkByteCount) compress(state, tail, at)
  for (let i = 0; i < 8; i++) {
    const word = state[i] as number
    into[i * 4] = word >>> 24
    into[i * 4 + 1] = word >>> 16
    into[i * 4 + 2] = word >>> 8
    into[i * 4 + 3] = word
  }
}

export function sha256(message: Uint8Array): Uint8Array {
  const digest = new Uint8Array(digestByteCount)
  finish(initialState.slice(), message, 0, digest)
  return digest
}

/** HMAC-SHA-256 under one key. The two padded key blocks are compressed once, so that naming a long chain costs
 *  only its own bytes. */
export class Hmac {
  readonly #inner: Uint32Array
  readonly #outer: Uint32Array
  readonly #state = new Uint32Array(8)
  readonly #middle = new Uint8Array(digestByteCount)

  constructor(key: Uint8Array) {
    const padded = new Uint8Array(chunkByteCount)
    padded.set(key.length > chunkByteCount ? sha256(key) : key)
    this.#inner = initialState.slice()
    compress(
      this.#inner,
      padded.map((byte) => byte ^ 0x36),
      0,
    )
    this.#outer = initialState.slice()
    compress(
      this.#outer,
      padded.map((byte) => byte ^ 0x5c),
      0,
    )
  }

  /** Writes the 32 bytes of the code for `message` into `into`. */
  sign(message: Uint8Array, into: Uint8Array): void {
    this.#state.set(this.#inner)
    finish(this.#state, message, chunkByteCount, this.#middle)
    this.#state.set(this.#outer)
    finish(this.#state, this.#middle, chunkByteCount, into)
  }
}
