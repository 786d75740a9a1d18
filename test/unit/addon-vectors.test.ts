import { createHmac } from 'node:crypto'
import t from 'tap'
import { loadNative } from '../../addon/load.ts'
import { crc32c } from '../../tiers/block/crc32c.ts'
import { chainBytes } from '../../tiers/block/key.ts'

const native = loadNative()

function filled(length: number, byteOf: (index: number) => number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => byteOf(index))
}

const vectors: readonly (readonly [string, Uint8Array, number])[] = [
  ['nothing', new Uint8Array(0), 0],
  ['a', new TextEncoder().encode('a'), 0xc1d04330],
  ['123456789', new TextEncoder().encode('123456789'), 0xe3069283],
  ['32 zeros', filled(32, () => 0), 0x8a9136aa],
  ['32 ones', filled(32, () => 255), 0x62a8ab43],
  ['0 to 31', filled(32, (i) => i), 0x46dd794e],
  ['31 to 0', filled(32, (i) => 31 - i), 0x113fdb5c],
  ['4096 zeros', filled(4096, () => 0), 0x98f94189],
  ['4096 ones', filled(4096, () => 255), 0x25c1fe13],
  ['4096 counted', filled(4096, (i) => i & 255), 0x9c71fe32],
  ['2 MiB counted', filled(2 ** 21, (i) => i & 255), 0x7b0d0477],
  ['2 MiB of zeros', new Uint8Array(2 ** 21), 0x6cdf7abe],
]

void t.test('CRC-32C gives the golden sums', async (t) => {
  for (const [name, bytes, sum] of vectors) t.equal(native.crc32c(bytes, 0), sum, name)
})

void t.test('CRC-32C goes on where it stopped, at any cut and any alignment', async (t) => {
  const bytes = filled(9000, (i) => (i * 167 + (i >> 5)) & 255)
  const whole = crc32c(bytes)
  for (const cut of [0, 1, 7, 8, 255, 256, 511, 512, 513, 3071, 3072, 3073, 4096, 8999, 9000]) {
    const first = native.crc32c(bytes.subarray(0, cut), 0)
    t.equal(native.crc32c(bytes.subarray(cut), first), whole, `cut at ${cut}`)
  }
  for (let start = 0; start < 70; start++) {
    const part = bytes.subarray(start, start + 1024 + start * 7)
    if (native.crc32c(part, 0) !== crc32c(part)) t.fail(`start ${start}`)
  }
})

void t.test('a chain is the one of tiers/block/key.ts', async (t) => {
  for (const blockTokens of [1, 7, 8, 13, 14, 16, 64, 256]) {
    for (const tokenCount of [0, blockTokens - 1, blockTokens, blockTokens * 3 + 1, 1000]) {
      const tokens = Uint32Array.from({ length: tokenCount }, (_, i) => (i * 2654435761) >>> 0)
      const secret = filled(32, (i) => i * 5 + blockTokens)
      const wanted = chainBytes(secret, tokens, blockTokens)
      const into = new Uint8Array(wanted.length)
      t.equal(native.chain(secret, tokens, blockTokens, into), wanted.length / 32)
      t.equal(Buffer.compare(into, wanted), 0, `${tokenCount} tokens in blocks of ${blockTokens}`)
    }
  }
})

void t.test('a chain is HMAC-SHA-256 as others compute it, for any length of the secret', async (t) => {
  const tokens = Uint32Array.from({ length: 16 }, (_, i) => i + 1)
  for (const secretByteCount of [1, 32, 63, 64, 65, 200]) {
    const secret = filled(secretByteCount, (i) => i + 1)
    const into = new Uint8Array(32)
    native.chain(secret, tokens, 16, into)
    const wanted = createHmac('sha256', secret)
      .update(new Uint8Array(32))
      .update(new Uint8Array(tokens.buffer))
      .digest()
    t.equal(Buffer.compare(into, wanted), 0, `a secret of ${secretByteCount} bytes`)
  }
})

void t.test('a chain writes its own keys and nothing else', async (t) => {
  const into = new Uint8Array(96).fill(0xee)
  t.equal(native.chain(new Uint8Array(32), new Uint32Array(33), 16, into), 2)
  t.ok(into.subarray(64).every((byte) => byte === 0xee))
  t.throws(() => native.chain(new Uint8Array(32), new Uint32Array(64), 16, into), {
    message: 'chain.into: has 96 bytes, the keys need 128',
  })
})
